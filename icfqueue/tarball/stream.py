"""A tarball read forwards, once, from anything that has ``readinto`` or ``read``.

:class:`TarStream` walks the members of an uncompressed tar. It never seeks, so that a
tarball can be read while it still comes in; it knows no more than a few large buffers of
it, so that memory does not grow with the tar.

Every byte is hashed on the way in a second thread (hashlib leaves the interpreter lock
alone meanwhile), so that the MD5 of the whole costs the first thread nothing. A small
member lies in one piece in a buffer and is handed out as it lies there.
"""

from __future__ import annotations

import hashlib
import mmap
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NoReturn, Self

from icfqueue.core.errors import BadTarball
from icfqueue.tarball.header import (
    BLOCK,
    EXTENDED,
    GLOBAL,
    LONG_NAME,
    PAX,
    Damaged,
    Member,
    intact,
    member,
    number,
    records,
    shown,
    text,
)
from icfqueue.tarball.remedies import LOOK_AT, packed_as, repack

if TYPE_CHECKING:
    from typing import Protocol

    class ByteStream(Protocol):
        """Where the bytes come from: a file, a pipe, the body of a response."""

        def read(self, size: int, /) -> bytes | None: ...


BUFFER: Final = 2 << 20
"""Bytes of one buffer."""

SMALL: Final = 512 << 10
"""A member of at most this size lies in one piece."""

LONGEST_HEADER: Final = SMALL
"""Most bytes that one pax or GNU header may have."""

_ZERO = bytes(BLOCK)


class Hasher:
    """MD5 of everything that passes, in a thread of its own; lends out the buffers."""

    def __init__(self, buffers: int) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._work: queue.SimpleQueue[memoryview | mmap.mmap | None] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
        for _ in range(buffers):
            # Of a short tar most pages are never touched.
            self._free.put(mmap.mmap(-1, BUFFER))
        self._thread = threading.Thread(target=self._run, name="md5", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._work.get()) is not None:
            if isinstance(piece, mmap.mmap):
                self._free.put(piece)  # all of it is hashed: it can be filled again
            else:
                self._md5.update(piece)

    def lend(self) -> mmap.mmap:
        """Return a buffer to fill, as soon as there is one."""
        return self._free.get()

    def take_back(self, buffer: mmap.mmap) -> None:
        """Lend `buffer` again once the pieces of it are hashed."""
        self._work.put(buffer)

    def add(self, piece: memoryview) -> None:
        """Hash `piece` of a lent buffer, some time."""
        self._work.put(piece)

    def finish(self) -> str:
        """Wait for the rest; return the MD5 in hex."""
        self._work.put(None)
        self._thread.join()
        return self._md5.hexdigest()


class TarStream:
    """The members of a tar, in order, from a stream.

    A context manager: leaving it ends the hashing thread. Iterate over :meth:`members`;
    before going on, a member's content can be had by :meth:`head` and :meth:`pieces`.

    Parameters
    ----------
    source
        The tar's bytes; never sought.
    advance
        Called with the number of bytes that came in, every few hundred kilobytes. What
        it raises ends the reading.
    name
        What messages call the tar.
    """

    def __init__(
        self, source: ByteStream, advance: Callable[[int], None], *, name: str
    ) -> None:
        self.name = name
        self.size = 0
        """Bytes of the whole tar; known at the end."""
        self.md5 = ""
        """MD5 of the whole tar in hex; known at the end."""
        self._readinto = getattr(source, "readinto", None) or _readinto(source)
        self._advance = advance
        self._hasher = Hasher(3)
        self._buffer = self._hasher.lend()
        self._view = memoryview(self._buffer)
        self._base = 0  # where the buffer's first byte lies in the tar
        self._at = 0  # the next byte to look at, in the buffer
        self._end = 0  # where the buffer's content ends
        self._hashed = 0  # up to where it was given to the hasher
        self._eof = False
        self._globals: dict[str, str] = {}
        self._last_pax: tuple[bytes, dict[str, str]] = (b"", {})
        self._left = 0  # of the present member, with padding
        self._name = ""  # of the present member

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.md5:
            self._hasher.finish()

    # --- bytes -----------------------------------------------------------------

    def _need(self, count: int) -> bool:
        """Have `count` bytes in one piece at the cursor; False if the tar ends before."""
        while self._end - self._at < count:
            if self._eof:
                return False
            if self._at + count > BUFFER:
                self._turn()
            got = self._readinto(self._view[self._end :])
            if not got:
                self._eof = True
                continue
            self._end += got
            if self._end == BUFFER or self._end - self._hashed >= SMALL:
                self._hash()
        return True

    def _hash(self) -> None:
        fresh = self._end - self._hashed
        if fresh:
            self._hasher.add(self._view[self._hashed : self._end])
            self._hashed = self._end
            self._advance(fresh)

    def _turn(self) -> None:
        """Go on in another buffer, beginning with what is left of this one."""
        self._hash()
        rest = self._end - self._at
        full, view = self._buffer, self._view
        self._buffer = self._hasher.lend()
        self._view = memoryview(self._buffer)
        self._view[:rest] = view[self._at : self._end]
        self._hasher.take_back(full)
        self._base += self._at
        self._at, self._end, self._hashed = 0, rest, rest

    @property
    def position(self) -> int:
        """Byte of the tar at which the next piece begins; of a new member, its content."""
        return self._base + self._at

    def head(self, count: int) -> memoryview:
        """Return the first bytes of the present member; they stay to be taken.

        Parameters
        ----------
        count
            How many: at most :data:`SMALL`, and no more than the member has.

        Returns
        -------
        memoryview
            Good until the next call of anything here.

        Raises
        ------
        BadTarball
            The tar ends within the member.
        """
        if not self._need(count):
            self._ends(f"in member {shown(self._name)}")
        return self._view[self._at : self._at + count]

    def pieces(self) -> Iterator[memoryview]:
        """Yield the rest of the present member, padding included, piece by piece.

        A piece is good until the next one.

        Raises
        ------
        BadTarball
            The tar ends within the member.
        """
        while self._left:
            if self._at == self._end and not self._need(1):
                self._ends(f"in member {shown(self._name)}")
            count = min(self._left, self._end - self._at)
            piece = self._view[self._at : self._at + count]
            self._at += count
            self._left -= count
            yield piece

    # --- members ---------------------------------------------------------------

    def members(self) -> Iterator[Member]:
        """Yield the members; at the end :attr:`size` and :attr:`md5` are known.

        Raises
        ------
        BadTarball
            Empty, compressed, cut, damaged, or no tar.
        """
        while True:
            try:
                found = self._next()
            except Damaged as damage:
                raise BadTarball(
                    f"{self.name} has a damaged header at byte {self._base + self._at}"
                    f"{self._after()}: {damage}",
                ) from None
            if found is None:
                break
            self._left, self._name = found.padded, found.name
            yield found
            here = self._end - self._at
            if self._left <= here:
                self._at += self._left
                self._left = 0
            else:
                for _ in self.pieces():
                    pass
        self._finish()

    def _next(self) -> Member | None:
        """Return the next member, or None at the end mark.

        Of two extended headers that say the same the first one counts: ``tarfile``
        applies them from the inside out.
        """
        offset = self._base + self._at
        said: dict[str, str] = {}
        name, first = None, True
        while block := self._header():
            form = block[156]
            if form not in EXTENDED:
                if self._globals:
                    said = self._globals | said
                found = member(block, said, name, offset)
                self._at += BLOCK
                return found
            content = self._extended(number(block[124:136], "size"))
            if form in PAX:
                said = self._records(content) | said
            elif form == GLOBAL:
                self._globals = self._globals | self._records(content)
                if first:
                    offset = self._base + self._at
                    continue
            elif form == LONG_NAME and name is None and "path" not in said:
                name = text(content)
            first = False
        if self._base + self._at > offset:
            raise Damaged("an extended header without a member")
        return None

    def _header(self) -> bytes | None:
        """Return the header at the cursor, checked; None at the end mark."""
        if not self._need(BLOCK):
            self._no_header()
        block = bytes(self._view[self._at : self._at + BLOCK])
        if block == _ZERO:
            return None
        if not intact(block):
            if self._base + self._at == 0:
                self._no_tar(block)
            raise Damaged("its checksum does not match")
        return block

    def _extended(self, size: int) -> bytes:
        """Take the content of the extended header at the cursor."""
        if not 0 <= size <= LONGEST_HEADER:
            raise Damaged(f"an extended header of {size} bytes")
        padded = -(-size // BLOCK) * BLOCK
        if not self._need(BLOCK + padded):
            self._ends("in an extended header")
        self._at += BLOCK
        content = bytes(self._view[self._at : self._at + size])
        self._at += padded
        return content

    def _records(self, content: bytes) -> dict[str, str]:
        # Reproducible tars say the same of every member.
        if content != self._last_pax[0]:
            self._last_pax = (content, records(content))
        return self._last_pax[1]

    # --- the end ---------------------------------------------------------------

    def _finish(self) -> None:
        """Take what follows the end mark: it must be zeros, and it belongs to the MD5."""
        while self._need(1):
            rest = bytes(self._view[self._at : self._end])
            if rest.count(0) != len(rest):
                # Two tars in a row: tarfile finds the members of the first alone.
                raise BadTarball(
                    f"{self.name} has data after its end mark, at byte "
                    f"{self._base + self._at} or later{self._after()}",
                    hint=repack("--ignore-zeros"),
                    cause="two-tars",
                )
            self._at = self._end
        self._end_hash()

    def take_rest(self) -> None:
        """Take what is left, whatever it is, for :attr:`size` and :attr:`md5`."""
        while not self.md5 and self._need(1):
            self._at = self._end
        if not self.md5:
            self._end_hash()

    def _end_hash(self) -> None:
        self._hash()
        self.size = self._base + self._end
        self.md5 = self._hasher.finish()

    def _after(self) -> str:
        return f", after member {shown(self._name)}" if self._name else ""

    def _no_header(self) -> NoReturn:
        """Say why there is no header where one must be."""
        here = self._base + self._at
        if here == 0 and self._end == 0:
            raise BadTarball(f"{self.name} is empty", cause="empty")
        if here == 0:
            self._no_tar(bytes(self._view[: self._end]))
        if self._end > self._at:
            self._ends(f"in a header{self._after()}")
        # Every tar writer ends with blocks of zeros. Without them nothing tells a whole
        # tarball from one that was cut between two members.
        self._cut(f"has no end mark at byte {here}{self._after()}")

    def _no_tar(self, block: bytes) -> NoReturn:
        what, hint = packed_as(block)
        if what:
            raise BadTarball(
                f"{self.name} is compressed ({what}); it must be a plain tar",
                hint=hint,
                cause="gzip",
                may_grow=False,
            )
        raise BadTarball(
            f"{self.name} is no tarball: it does not begin with a tar header",
            hint=LOOK_AT,
            cause="no-tar",
        )

    def _ends(self, where: str) -> NoReturn:
        self._cut(f"ends {where}, at byte {self._base + self._end}")

    def _cut(self, what: str) -> NoReturn:
        raise BadTarball(f"{self.name} is cut: it {what}", cause="cut")


def _readinto(source: ByteStream) -> Callable[[memoryview], int]:
    """Return a ``readinto`` for a source that only has ``read``."""

    def readinto(view: memoryview) -> int:
        content = source.read(len(view)) or b""
        view[: len(content)] = content
        return len(content)

    return readinto
