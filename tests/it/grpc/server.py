"""A gRPC server on the C core, without generated code: messages are bytes. Prints its port.

server.py [KEY CHAIN]: with TLS if a key and a chain are given.
"""

import sys
import threading
import time
from concurrent import futures

import grpc

SEEN = {"remaining": None, "canceled": threading.Event()}


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-initial", metadata.get("x-sent", "")),))
    context.set_trailing_metadata((("x-trailing", "t"), ("x-bytes-bin", b"\x00\xff")))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b",".join(requests)


def bidi(requests, context):
    for request in requests:
        yield b"re:" + request


def fail(request, context):
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ü")


def fail_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


def hang(request, context):
    SEEN["remaining"] = context.time_remaining()
    context.add_callback(SEEN["canceled"].set)
    while context.is_active():
        time.sleep(0.01)
    return b""


def seen(request, context):
    canceled = SEEN["canceled"].wait(5)
    return b"%s %d" % (b"canceled" if canceled else b"not", SEEN["remaining"] or 0)


UNARY = grpc.unary_unary_rpc_method_handler
METHODS = {
    "Unary": UNARY(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Fail": UNARY(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Hang": UNARY(hang),
    "Seen": UNARY(seen),
}


def main():
    unbounded = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    server = grpc.server(futures.ThreadPoolExecutor(16), options=unbounded)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", METHODS),))
    if len(sys.argv) > 1:
        key, chain = (open(path, "rb").read() for path in sys.argv[1:3])
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # Ends with whoever started it.
    sys.stdin.read()
    server.stop(0)


main()
