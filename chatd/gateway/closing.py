"""Reading on after our close frame: only the client's own is of interest (RFC 6455, 7.1.2).

A client that talks on may send megabytes meanwhile. They are passed over frame by frame, without a look.
"""

_CLOSE = 0x08


def answer_in(data: bytes, skip: int) -> tuple[int, bytes, bytes]:
    """(bytes of a frame still to pass over, the begin of one that is not whole, the client's close frame).

    ``data`` begins where the last call ended, after ``skip`` more bytes of a frame. The close frame is empty
    until it is there; a control frame is 125 bytes at most (RFC 6455, 5.5), so what is kept is short.
    """
    at, n = skip, len(data)
    while n - at >= 2:
        length, head = data[at + 1] & 0x7F, 2 if data[at + 1] < 0x80 else 6
        if length >= 126:
            head += 2 if length == 126 else 8
            if n - at < head:
                break
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
        end = at + head + length
        if data[at] & 0x0F == _CLOSE and length < 126:
            return (0, b"", data[at:end]) if end <= n else (0, data[at:], b"")
        at = end
    return (at - n, b"", b"") if at >= n else (0, data[at:], b"")
