"""Caddy from Debian: the guide's features but the limit, for which Debian's build has no module."""

from ..needs import program
from . import SECURITY_FIELDS, Proxy


def text(options, place):
    transport = "versions h2c 2" if options.grpc else "keepalive_idle_conns_per_host 5120"
    relay = [
        "reverse_proxy " + " ".join(f"127.0.0.1:{port}" for port in options.origins) + " {",
        "  lb_policy least_conn",
        "  lb_try_duration 5s",
        "  max_fails 3",
        "  fail_duration 30s",
        "  header_up X-Real-IP {remote_host}",
        "  transport http {",
        f"    {transport}",
        "  }",
        "}",
    ]
    indented = ["  " + line for line in relay]
    site = []
    if options.log:
        site += ["log {", f"  output file {place.directory}/access.log {{", "    roll_disabled", "  }", "}"]
    site += ["header {", *(f'  {name} "{value}"' for name, value in SECURITY_FIELDS.items())]
    if options.generation:
        site += [f'  X-Generation "{options.generation}"']
    site += ["}"]
    routes = []
    for n in range(options.routes):
        routes += [f"handle /r/{n}/* {{", *indented, "}"]
    rest = ["handle {", *indented, "}"]
    return (
        "\n".join(
            [
                "{",
                f"  admin 127.0.0.1:{place.admin}",
                "  auto_https off",
                *([] if options.log else ["  log {", "    level ERROR", "  }"]),
                "  servers {",
                "    protocols h1 h2",
                "  }",
                "}",
                f"http://127.0.0.1:{place.plain}, http://localhost:{place.plain} {{",
                *("  " + line for line in site + routes + rest),
                "}",
                f"https://127.0.0.1:{place.tls}, https://localhost:{place.tls} {{",
                f"  tls {place.shared}/cert.pem {place.shared}/key.pem",
                *("  " + line for line in site + rest),
                "}",
            ]
        )
        + "\n"
    )


def cannot(options):
    if options.limit_by_field:
        return "Debian's build has no rate limit"
    return None


def full():
    path = program("caddy")
    return Proxy(
        name="caddy",
        title="Caddy",
        does="least_conn, max_fails, five security headers, forwarded headers; no limit, no log",
        program=path,
        files=lambda options, place: {"Caddyfile": text(options, place)},
        command=lambda place, options: [
            "env",
            f"GOMAXPROCS={options.workers}",
            f"HOME={place.directory}",
            path,
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            place.directory / "Caddyfile",
        ],
        cannot=cannot,
        reload=lambda place, pid: [
            path,
            "reload",
            "--adapter",
            "caddyfile",
            "--config",
            str(place.directory / "Caddyfile"),
            "--address",
            f"127.0.0.1:{place.admin}",
        ],
    )
