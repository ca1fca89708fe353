"""nginx from Debian: the plain relay, and with every feature of the guide's nginx.conf."""

from ..needs import program
from . import SECURITY_FIELDS, Proxy


def text(full, options, place):
    log = full if options.log is None else options.log
    server = [
        f"listen 127.0.0.1:{place.plain} reuseport backlog=4096;",
        f"listen 127.0.0.1:{place.tls} ssl http2 reuseport backlog=4096;",
        f"ssl_certificate {place.shared}/cert.pem; ssl_certificate_key {place.shared}/key.pem;",
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:10m; ssl_session_tickets off;",
    ]
    if full:
        server += [f'add_header {name} "{value}" always;' for name, value in SECURITY_FIELDS.items()]
        server += ["limit_req zone=api burst=100000 nodelay;"]
    if options.generation:
        server += [f"add_header X-Generation {options.generation} always;"]
    if options.large_bodies:
        server += ["client_max_body_size 16m;"]
    prefix = "grpc" if options.grpc else "proxy"
    if not options.grpc:
        server += ["proxy_http_version 1.1;", "proxy_set_header Connection $upstream_connection;"]
    if full:
        server += [
            f"{prefix}_set_header {field};"
            for field in (
                "Host $host",
                "X-Real-IP $remote_addr",
                "X-Forwarded-For $proxy_add_x_forwarded_for",
                "X-Forwarded-Proto $scheme",
            )
        ]
    if not options.grpc:
        server += ["proxy_set_header Upgrade $http_upgrade;"]
    goes = "grpc_pass grpc://backend;" if options.grpc else "proxy_pass http://backend;"
    server += [f"location / {{ {goes} }}"]
    server += [f"location /r/{n}/ {{ {goes} }}" for n in range(options.routes)]
    zone = "$http_x_key" if options.limit_by_field else "$binary_remote_addr"
    megabytes = max(10, options.keys // 6000)  # 128 bytes a key, and slabs of a page
    http = [
        f"access_log {place.directory}/access.log combined buffer=64k flush=1s;" if log else "access_log off;",
        "sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;",
        # WebSocket upgrades pass, everything else keeps its connection to the origin.
        'map $http_upgrade $upstream_connection { default upgrade; "" ""; }',
        *([f"limit_req_zone {zone} zone=api:{megabytes}m rate=1000000r/s;"] if full else []),
        "upstream backend {",
        "  least_conn;",
        *(f"  server 127.0.0.1:{port} max_fails=3 fail_timeout=30s;" for port in options.origins),
        "  keepalive 5120; keepalive_requests 1000000000;",
        "}",
        "server {",
        *("  " + line for line in server),
        "}",
    ]
    return (
        "\n".join(
            [
                f"worker_processes {options.workers}; daemon off; pid {place.directory}/nginx.pid; error_log stderr error;",
                "worker_rlimit_nofile 20000;",
                "events { worker_connections 16384; }",
                "http {",
                *("  " + line for line in http),
                "}",
            ]
        )
        + "\n"
    )


def make(name, title, does, full):
    path = program("nginx")
    return Proxy(
        name=name,
        title=title,
        does=does,
        program=path,
        files=lambda options, place: {"nginx.conf": text(full, options, place)},
        command=lambda place, options: [path, "-p", place.directory, "-c", place.directory / "nginx.conf"],
        reload=lambda place, pid: ["kill", "-HUP", str(pid)],
    )


def bare():
    return make("nginx", "nginx", "least_conn, max_fails; no log", full=False)


def full():
    return make(
        "nginx-full",
        "nginx, the guide's features",
        "the same, a limit by client, five security headers, four forwarded headers, a buffered access log",
        full=True,
    )
