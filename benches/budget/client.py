"""The client: one request after another on one connection."""

import socket
import ssl
import time

from . import frame

TARGET = "/service/4711/items?page=2"
FIELDS = [("accept", "*/*"), ("user-agent", "budget/1"), ("accept-encoding", "gzip")]


def connect(work, port, load, server):
    """Connects as soon as the server listens, and returns what asks."""
    until = time.monotonic() + 120
    while True:
        try:
            stream = socket.create_connection((load.address, port), timeout=60)
            break
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if load.tls:
        context = ssl.create_default_context(cafile=work / "cert.pem")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2" if load.version == "h2" else "http/1.1"])
        stream = context.wrap_socket(stream, server_hostname="localhost")
    return (Http2 if load.version == "h2" else Http1)(stream, load)


class Http1:
    def __init__(self, stream, load):
        fields = "".join(f"{name}: {value}\r\n" for name, value in FIELDS)
        self.stream, self.request = stream, f"GET {TARGET} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n".encode()
        self.body, self.length = load.body, None

    def ask(self):
        self.stream.sendall(self.request)
        answer = b""
        while self.length is None or len(answer) < self.length:
            more = self.stream.recv(1 << 20)
            assert more, "the connection was closed"
            answer += more
            if self.length is None and b"\r\n\r\n" in answer:
                assert answer.startswith(b"HTTP/1.1 200 "), answer
                self.length = answer.index(b"\r\n\r\n") + 4 + self.body
        assert answer.startswith(b"HTTP/1.1 200 ") and len(answer) == self.length, answer


class Http2:
    """Every request is the same bytes but for its stream's number."""

    def __init__(self, stream, load):
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", TARGET), *FIELDS]
        self.block = frame.literals(fields)
        self.stream, self.body, self.number, self.frames = stream, load.body, 1, frame.Frames(stream)
        # A window that no run uses up: no WINDOW_UPDATE is ever due.
        settings = b"\0\x04" + (0x7FFFFFFF).to_bytes(4, "big")
        stream.sendall(frame.PREFACE + frame.encode(frame.SETTINGS, 0, 0, settings))
        stream.sendall(frame.encode(frame.WINDOW_UPDATE, 0, 0, (0x7FFFFFFF - 65535).to_bytes(4, "big")))

    def ask(self):
        number, self.number, body = self.number, self.number + 2, 0
        self.stream.sendall(frame.encode(frame.HEADERS, frame.END_HEADERS | frame.END_STREAM, number, self.block))
        while True:
            following = self.frames.next()
            assert following, "the connection was closed"
            kind, flags, stream, payload = following
            assert kind not in (frame.RESET, frame.GOAWAY), f"refused: {payload}"
            if kind == frame.SETTINGS and not flags & frame.ACK:
                self.stream.sendall(frame.encode(frame.SETTINGS, frame.ACK, 0, b""))
            if kind == frame.DATA and stream == number:
                body += len(payload)
            if stream == number and flags & frame.END_STREAM:
                assert body == self.body
                return
