"""Prefix the lines of one rank: ``python tagger.py PREFIX OUT_FD ERR_FD`` reads two pipes until both are closed.

A program of its own, run by its path with nothing imported but the standard library, so that it starts in
milliseconds and outlives a rank that is killed.
"""

import os
import selectors
import sys

LONGEST_LINE = 65536  # bytes kept back while waiting for the end of a line


def complete_lines(prefix: bytes, held: bytes) -> tuple[bytes, bytes]:
    """(what can be written, what is held back until its line ends).

    Of a line that a progress bar redraws with carriage returns only the last state is kept.

    >>> complete_lines(b"[1] ", b"10 %\\r20 %\\nloss")
    (b'[1] 20 %\\n', b'loss')
    """
    *lines, rest = held.split(b"\n")
    if len(rest) > LONGEST_LINE:
        lines, rest = [*lines, rest], b""
    return b"".join(prefix + line.rstrip(b"\r").rpartition(b"\r")[2] + b"\n" for line in lines), rest


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything; a pipe may take less at a time."""
    while data:
        data = data[os.write(descriptor, data) :]


def main(prefix: bytes, sources: dict[int, int]) -> None:
    """Copy each source descriptor to its target until all sources are at their end."""
    held = dict.fromkeys(sources, b"")
    selector = selectors.DefaultSelector()
    for source in sources:
        selector.register(source, selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select():
            data = os.read(key.fd, 65536)
            held[key.fd] += data
            if data:
                ready, held[key.fd] = complete_lines(prefix, held[key.fd])
            else:
                selector.unregister(key.fd)
                ready = complete_lines(prefix, held[key.fd] + b"\n")[0] if held[key.fd] else b""
            write_all(sources[key.fd], ready)


if __name__ == "__main__":
    main(os.fsencode(sys.argv[1]), {int(sys.argv[2]): 1, int(sys.argv[3]): 2})
