"""HTTP/2 frames (RFC 9113 4.1), as far as both ends need them."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4


def encode(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literals(fields):
    """A header block without indexing and without Huffman's code, so that it is the same bytes each time."""
    text = lambda value: bytes([len(value)]) + value.encode()
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


class Frames:
    """What comes over a connection, frame by frame."""

    def __init__(self, stream):
        self.stream, self.rest = stream, b""

    def fill(self, length):
        """Whether there are so many bytes, or the connection has ended."""
        while len(self.rest) < length:
            more = self.stream.recv(1 << 20)
            if not more:
                return False
            self.rest += more
        return True

    def expect(self, bytes):
        assert self.fill(len(bytes)) and self.rest.startswith(bytes), self.rest
        self.rest = self.rest[len(bytes) :]

    def next(self):
        """Type, flags, stream and payload; nothing at the end."""
        if not self.fill(9) or not self.fill(9 + int.from_bytes(self.rest[:3], "big")):
            return None
        end = 9 + int.from_bytes(self.rest[:3], "big")
        frame, self.rest = self.rest[:end], self.rest[end:]
        return frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:]
