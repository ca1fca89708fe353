"""Tidegate, every feature of the guide on, with its metrics and an access log."""

from . import Proxy


def text(options, place):
    log = options.log is not False
    lines = [
        f"workers = {options.workers}",
        "",
        "[[listener]]",
        f'address = "127.0.0.1:{place.plain}"',
        'http = { max_requests = 1_000_000_000, idle_timeout = "10m" }',
        "",
        "[[listener]]",
        f'address = "127.0.0.1:{place.tls}"',
        "tls = true",
        'http = { max_requests = 1_000_000_000, idle_timeout = "10m" }',
        "",
        "[[site]]",
        'hosts = ["localhost", "127.0.0.1"]',
        "default = true",
        f'certificate = {{ chain = "{place.shared}/cert.pem", key = "{place.shared}/key.pem" }}',
        'security_headers = "guide"',
        'limit = "api"',
        *(['max_body_size = "16m"'] if options.large_bodies else []),
        *(
            [f'response_headers = {{ set = {{ X-Generation = "{options.generation}" }} }}']
            if options.generation
            else []
        ),
        "",
        "[[site.route]]",
        'path = "/"',
        'upstream = "backend"',
    ]
    for n in range(options.routes):
        lines += ["", "[[site.route]]", f'path = "/r/{n}"', 'upstream = "backend"']
    lines += [
        "",
        "[limit.api]",
        'key = "header:X-Key"' if options.limit_by_field else 'key = "client_ip"',
        'rate = "1000000/s"',
        "burst = 100_000",
        f"max_keys = {1 << (options.keys - 1).bit_length()}",
        "",
        "[upstream.backend]",
        'policy = "least_conn"',
        "max_fails = 3",
        'fail_timeout = "30s"',
        "idle_connections = 5120",
        *(['protocol = "h2c"'] if options.grpc else []),
        "endpoints = [" + ", ".join(f'"127.0.0.1:{port}"' for port in options.origins) + "]",
        "",
        "[metrics]",
        f'address = "127.0.0.1:{place.admin}"',
        "",
    ]
    top, rest = lines[:1], lines[1:]
    if not log:
        return "\n".join(top + ["access_log = false"] + rest)
    return "\n".join(
        top + rest + ["[access_log]", f'output = "{place.directory}/access.log"', 'format = "combined"', ""]
    )


def full(program):
    return Proxy(
        name="tidegate",
        title="Tidegate, the guide's features",
        does="least_conn, max_fails, a limit by client, five security headers, four forwarded headers, a buffered access "
        "log, metrics",
        program=str(program),
        files=lambda options, place: {"tidegate.toml": text(options, place)},
        command=lambda place, options: [program, "run", "-c", place.directory / "tidegate.toml"],
        reload=lambda place, pid: ["kill", "-HUP", str(pid)],
    )
