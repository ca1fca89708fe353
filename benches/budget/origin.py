"""The endpoints: each answers every request the same, in one write."""

import socket
import ssl
import threading

from . import frame

HEAD = b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"


def start(work, load):
    """Starts one; returns its port, or the path of its socket."""
    if load.origin == "unix":
        port = work / f"{len(list(work.glob('*.sock')))}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(port))
        listener.listen(16)
    else:
        listener = socket.create_server((load.address, 0), backlog=16)
        port = listener.getsockname()[1]
    threading.Thread(target=accept, args=(listener, work, load), daemon=True).start()
    return port


def accept(listener, work, load):
    context = None
    if load.origin in ("tls", "h2"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(work / "cert.pem", work / "key.pem")
        context.set_alpn_protocols(["h2" if load.origin == "h2" else "http/1.1"])
    serve = serve_http2 if load.origin in ("h2", "h2c") else serve_http1
    while True:
        connection = listener.accept()[0]
        threading.Thread(target=take, args=(connection, context, serve, load), daemon=True).start()


def take(connection, context, serve, load):
    if load.origin != "unix":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    serve(connection, load)


def serve_http1(connection, load):
    answer = HEAD % load.body + b"x" * load.body
    if load.origin == "proxy":
        # Version 1, a line; it comes before the first request.
        while not connection.recv(1) == b"\n":
            pass
    while request := connection.recv(65536):
        assert request.endswith(b"\r\n\r\n"), request
        connection.sendall(answer)


def serve_http2(connection, load):
    fields = [(":status", "200"), ("server", "origin"), ("content-type", "text/plain")]
    fields.append(("content-length", str(load.body)))
    head, body = frame.literals(fields), b"x" * load.body
    frames = frame.Frames(connection)
    frames.expect(frame.PREFACE)
    connection.sendall(frame.encode(frame.SETTINGS, 0, 0, b""))
    while following := frames.next():
        kind, flags, stream, payload = following
        if kind == frame.SETTINGS and not flags & frame.ACK:
            connection.sendall(frame.encode(frame.SETTINGS, frame.ACK, 0, b""))
        if kind == frame.PING and not flags & frame.ACK:
            connection.sendall(frame.encode(frame.PING, frame.ACK, 0, payload))
        if kind == frame.HEADERS:
            answer = frame.encode(frame.HEADERS, frame.END_HEADERS, stream, head)
            connection.sendall(answer + frame.encode(frame.DATA, frame.END_STREAM, stream, body))
