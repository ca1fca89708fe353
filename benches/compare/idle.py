"""Holds idle keep-alive connections, one request on each, while somebody looks at the proxy."""

import socket
import ssl
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = 128  # of the origin's answer
SETTLE_SECONDS = 1


def hold(port, tls, counts, look):
    """Opens connections up to each of `counts` in turn and calls `look` there: {count: what it saw}."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held, seen = [], {}
    try:
        for count in counts:
            while len(held) < count:
                held.append(connect(port, context if tls else None))
            time.sleep(SETTLE_SECONDS)
            seen[count] = look()
    finally:
        for connection in held:
            connection.close()
    return seen


def connect(port, context):
    """A connection whose one request is answered in full."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    if context:
        connection = context.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(REQUEST)
    answer = b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= BODY:
            return connection
        more = connection.recv(4096)
        if not more:
            raise OSError("closed before the answer was whole")
        answer += more
