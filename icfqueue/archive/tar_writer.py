"""A tar as it is written: in large pieces, hashed on the way in a second thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from icfqueue.archive.member_header import blocks, member_header
from icfqueue.tarball.header import BLOCK
from icfqueue.tarball.stream import BUFFER, Hasher

RECORD: Final = 20 * BLOCK
"""A tar is as long as a number of these, as every tar program has it."""

_ZEROS = bytes(BLOCK)


class Short(Exception):
    """A file ended before it should; whoever opened it knows its name."""


class TarWriter:
    """Writes members, one after the other; knows the MD5 of the whole at the end.

    A context manager: leaving it ends the hashing thread.

    Parameters
    ----------
    sink
        Gets the bytes, in order; a piece is good until it returns.
    """

    def __init__(self, sink: Callable[[memoryview], None]) -> None:
        self._sink = sink
        self._hasher = Hasher(3)
        self._buffer = self._hasher.lend()
        self._view = memoryview(self._buffer)
        self._at = 0
        self.size = 0
        """Bytes that went to the sink."""
        self.md5 = ""
        """MD5 of the whole tar in hex; known at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.md5:
            self._hasher.finish()

    def add(
        self, name: str, time: int, size: int, fill: Callable[[memoryview], int]
    ) -> None:
        """Write a member.

        Parameters
        ----------
        name, time, size
            Its path, time (seconds since 1970) and size (bytes).
        fill
            Reads on in its content, and tells how many bytes that gave.

        Raises
        ------
        Short
            There was less of it.
        """
        self._put(member_header(name, size, time))
        left = size
        while left:
            if self._at == BUFFER:
                self._flush()
            got = fill(self._view[self._at : self._at + left])
            if not got:
                raise Short
            self._at += got
            left -= got
        self._put(_ZEROS[: blocks(size) - size])

    def finish(self) -> None:
        """Write the end mark; the sink then has all of the tar."""
        length = self.size + self._at + 2 * BLOCK
        for _ in range(2 + (-length % RECORD) // BLOCK):
            self._put(_ZEROS)
        self._flush()
        self.md5 = self._hasher.finish()

    def _put(self, piece: bytes) -> None:
        if self._at + len(piece) > BUFFER:
            room = BUFFER - self._at
            self._view[self._at :] = piece[:room]
            self._at = BUFFER
            self._flush()
            piece = piece[room:]
        self._view[self._at : self._at + len(piece)] = piece
        self._at += len(piece)

    def _flush(self) -> None:
        """Hand on what is in the buffer, and go on in another."""
        full = self._view[: self._at]
        self._hasher.add(full)
        self._sink(full)
        self.size += self._at
        self._hasher.take_back(self._buffer)
        self._buffer = self._hasher.lend()
        self._view = memoryview(self._buffer)
        self._at = 0
