"""Standard output and error of a run: when their reader leaves, the run goes on and train.log tells the rest."""

import errno
import io
import os
import sys
from typing import Any

_NOBODY_READS = (errno.EPIPE, errno.EIO)  # a pipe whose reader has left; a terminal that was closed


class _Lasting(io.FileIO):
    """A descriptor that leads nowhere once nobody reads it."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as problem:
            if problem.errno not in _NOBODY_READS:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return super().write(data)


def outlive_readers() -> None:
    """From now on no print fails: not for want of a reader, nor for want of a character in the terminal's encoding."""
    sys.stdout, sys.stderr = (_lasting(stream.fileno(), stream) for stream in (sys.stdout, sys.stderr))


def _lasting(descriptor: int, stream: object) -> io.TextIOWrapper:
    assert isinstance(stream, io.TextIOWrapper)
    raw = _Lasting(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),  # pyright: ignore[reportArgumentType]
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
