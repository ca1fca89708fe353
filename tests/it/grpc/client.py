"""A gRPC client on the C core that tries one thing: client.py ADDRESS CASE [CHAIN]. Says what is wrong, if anything is."""

import queue
import sys

import grpc

PATIENCE = 15


def unary(call):
    response, rpc = call("unary_unary", "Unary").with_call(b"hi", timeout=PATIENCE, metadata=(("x-sent", "s"),))
    trailing = dict(rpc.trailing_metadata())
    same(response, b"hi")
    same(dict(rpc.initial_metadata()).get("x-initial"), "s")
    same((trailing.get("x-trailing"), trailing.get("x-bytes-bin")), ("t", b"\x00\xff"))
    same(rpc.code(), grpc.StatusCode.OK)


def server_stream(call):
    responses = call("unary_stream", "ServerStream")(b"1000", timeout=PATIENCE)
    same(list(responses), [b"%d" % number for number in range(1000)])


def client_stream(call):
    requests = [b"%d" % number for number in range(1000)]
    same(call("stream_unary", "ClientStream")(iter(requests), timeout=PATIENCE), b",".join(requests))


def bidi(call):
    # Each message waits for the answer to the one before it.
    waiting = queue.Queue()
    responses = call("stream_stream", "Bidi")(iter(waiting.get, None), timeout=PATIENCE)
    for number in range(100):
        waiting.put(b"%d" % number)
        same(next(responses), b"re:%d" % number)
    waiting.put(None)
    same(list(responses), [])
    same(responses.code(), grpc.StatusCode.OK)


def fail(call):
    error = refused(lambda: call("unary_unary", "Fail")(b"", timeout=PATIENCE))
    same((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: ü"))
    same(dict(error.trailing_metadata()).get("x-why"), "because")


def fail_late(call):
    responses = call("unary_stream", "FailLate")(b"", timeout=PATIENCE)
    same(next(responses), b"one")
    error = refused(lambda: next(responses))
    same((error.code(), error.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, "no more"))


def unknown(call):
    same(refused(lambda: call("unary_unary", "None")(b"", timeout=PATIENCE)).code(), grpc.StatusCode.UNIMPLEMENTED)


def deadline(call):
    error = refused(lambda: call("unary_unary", "Hang")(b"", timeout=2))
    same(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    # The server knew of the deadline, and of the end.
    same(call("unary_unary", "Seen")(b"", timeout=PATIENCE), b"canceled 1")


def cancel(call):
    rpc = call("unary_unary", "Hang").future(b"", timeout=1000)
    call("unary_unary", "Unary")(b"", timeout=PATIENCE)
    rpc.cancel()
    seen = call("unary_unary", "Seen")(b"", timeout=PATIENCE)
    same(seen.split()[0], b"canceled")


def large(call):
    message = bytes(range(256)) * (32 << 10)
    same(call("unary_unary", "Unary")(message, timeout=60) == message, True)


def many(call):
    rpcs = [call("unary_unary", "Unary").future(b"%d" % number, timeout=60) for number in range(500)]
    same([rpc.result() for rpc in rpcs], [b"%d" % number for number in range(500)])


def same(found, expected):
    if found != expected:
        sys.exit(f"found {found!r}, expected {expected!r}")


def refused(call):
    try:
        sys.exit(f"no error, but {call()!r}")
    except grpc.RpcError as error:
        return error


def main():
    address, case, *chain = sys.argv[1:]
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if chain:
        credentials = grpc.ssl_channel_credentials(open(chain[0], "rb").read())
        options.append(("grpc.ssl_target_name_override", "test"))
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        globals()[case](lambda kind, method: getattr(channel, kind)(f"/test.Test/{method}"))


main()
