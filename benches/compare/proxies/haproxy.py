"""HAProxy from Debian: the plain relay, and with the guide's features but the access log."""

from ..needs import program
from . import SECURITY_FIELDS, Proxy


def text(full, options, place):
    size = max(100_000, options.keys)
    table = f"type string len 16 size {size}" if options.limit_by_field else f"type ip size {size}"
    tracked = "req.hdr(X-Key)" if options.limit_by_field else "src"
    front = [
        f"bind 127.0.0.1:{place.plain} backlog 4096",
        f"bind 127.0.0.1:{place.tls} ssl crt {place.shared}/both.pem alpn h2,http/1.1 backlog 4096",
    ]
    if options.log:
        front += ["log global", "option httplog"]
    if full:
        front += [
            f"stick-table {table} expire 10m store http_req_rate(1s)",
            f"http-request track-sc0 {tracked}",
            "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }",
            "option forwardfor",
            "http-request set-header X-Real-IP %[src]",
            "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
            "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
        ]
        front += [f'http-response set-header {name} "{value}"' for name, value in SECURITY_FIELDS.items()]
    if options.generation:
        front += [f"http-response set-header X-Generation {options.generation}"]
    if options.routes:
        front += [f"use_backend %[path,map_beg({place.directory}/routes.map,be)]"]
    front += ["default_backend be"]
    version = " proto h2" if options.grpc else ""
    back = ["balance leastconn", "retry-on conn-failure empty-response response-timeout", "option redispatch 1"]
    # max_fails=3; an origin that was taken out comes back by the check, which is the only way HAProxy has.
    watched = " check inter 10s rise 1 observe layer4 error-limit 3 on-error mark-down" if full else ""
    back += [
        f"server s{n} 127.0.0.1:{port}{version} pool-max-conn 5120{watched}"
        for n, port in enumerate(options.origins, 1)
    ]
    sections = {
        "global": [
            f"nbthread {options.workers}",
            "maxconn 9000",
            "tune.maxrewrite 1024",
            # Else idle connections are closed once a quarter of the descriptors is in use: 5,000 requests in flight.
            "tune.pool-low-fd-ratio 90",
            "tune.pool-high-fd-ratio 95",
            "ssl-default-bind-options ssl-min-ver TLSv1.2",
            f"stats socket {place.directory}/admin.sock mode 600 level admin expose-fd listeners",
            *(["log stdout format raw local0"] if options.log else []),
        ],
        "defaults": [
            "mode http",
            "timeout client 600s",
            "timeout server 600s",
            "timeout connect 5s",
            "timeout http-keep-alive 600s",
            "timeout tunnel 600s",
            "http-reuse always",
        ],
        "frontend fe": front,
        "backend be": back,
    }
    return "\n".join(f"{name}\n" + "".join(f"  {line}\n" for line in lines) for name, lines in sections.items())


def files(full, options, place):
    made = {"haproxy.cfg": text(full, options, place)}
    if options.routes:
        made["routes.map"] = "".join(f"/r/{n}/ be\n" for n in range(options.routes))
    return made


def make(name, title, does, full):
    path = program("haproxy")
    return Proxy(
        name=name,
        title=title,
        does=does,
        program=path,
        files=lambda options, place: files(full, options, place),
        command=lambda place, options: [path, "-W", "-db", "-f", place.directory / "haproxy.cfg"],
        reload=lambda place, pid: ["kill", "-USR2", str(pid)],
    )


def bare():
    return make("haproxy", "HAProxy", "leastconn; no log", full=False)


def full():
    return make(
        "haproxy-full",
        "HAProxy, the same features",
        "the same, a limit by client, five security headers, three forwarded headers; no log",
        full=True,
    )
