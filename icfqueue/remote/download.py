"""What arrives from the store: a file of a known length, or a page to be read.

Nobody is waited for without end. A socket's timeout starts anew with each byte, so both
have a least rate (:class:`Pace`), so that a tarball may take the longer the larger it
is; whatever is to be small has an end (:class:`Clock`).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icfqueue.core.errors import NetworkTrouble, PermanentError
from icfqueue.core.plain_text import shown
from icfqueue.remote.http_errors import asking
from icfqueue.remote.sizes import no_length, size_of

if TYPE_CHECKING:
    import requests

PIECE = 1 << 16
"""Bytes of a page that are received, or unpacked, at once."""

_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER = 47
"""For zlib: a header of gzip or of zlib, whichever is there."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the store tells of a file without sending it.

    Attributes
    ----------
    size
        Bytes; None if the store does not say.
    etag, last_modified
        The headers as they came, or None.
    """

    size: int | None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range may carry: a strong tag, else the date (RFC 9110, 13.1.5)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class Clock:
    """When the request under way must be over, and the next bytes must be here."""

    def __init__(self) -> None:
        self._ends = self._soon = float("inf")

    def start(self, seconds: float) -> None:
        """Have all of it over in `seconds`; infinity sets no end."""
        self._ends = time.monotonic() + seconds
        self._soon = float("inf")

    def expect(self, seconds: float) -> None:
        """Have the next bytes of the body here in `seconds`.

        Not the same as the socket's timeout: a server can send much that is no body.
        """
        self._soon = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; they may be infinite.

        Raises
        ------
        TimeoutError
            None are.
        """
        left = min(self._ends, self._soon) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long in all")
        return left


class Pace:
    """The rate at which bytes must come, over and over again.

    All of `size` bytes so take at most ``size / least + window`` seconds.

    Parameters
    ----------
    url
        Where they come from.
    least
        Bytes a second.
    window
        Seconds over which they are averaged: a line may stand still for that long.
    clock
        Told when bytes are expected.
    """

    def __init__(self, url: str, least: float, window: float, clock: Clock) -> None:
        self.url = url
        self.least = least
        self.window = window
        self.clock = clock
        self.too_slow = False
        """Whether :meth:`count` raised."""
        self._since = time.monotonic()
        self._bytes = 0

    def expect(self) -> None:
        """Have the next bytes within the window."""
        self.clock.expect(self.window)

    def count(self, size: int) -> None:
        """Note that `size` bytes came.

        Raises
        ------
        NetworkTrouble
            They come too slowly.
        """
        self._bytes += size
        took = time.monotonic() - self._since
        if took < self.window:
            return
        if self._bytes < self.least * self.window:
            self.too_slow = True
            raise NetworkTrouble(
                f"{self.url} sent {self._bytes} bytes in {took:.0f} s, fewer than "
                f"{self.least:.0f} a second",
                hint="the store or the line to it is slow; if that is usual, lower the "
                "setting 'least_rate'",
                slow=True,
            )
        self._since += took
        self._bytes = 0


class Download:
    """A body that is being received.

    Attributes
    ----------
    start
        Offset of its first byte in the file; 0 unless a part was asked for and granted.
    file
        The whole file that it belongs to.
    """

    def __init__(
        self, response: requests.Response, start: int, size: int, pace: Pace
    ) -> None:
        self.start = start
        self.file = RemoteFile(
            size, response.headers.get("ETag"), response.headers.get("Last-Modified")
        )
        self._raw = response.raw
        self._raw.enforce_content_length = False  # checked by `read`, which says it better
        self.pace = pace
        self._left = size - start

    def read(self, most: int) -> bytes:
        """Return what has arrived, up to `most` bytes; nothing at the end.

        Raises
        ------
        NetworkTrouble
            The connection broke, stalled, is too slow, or ended before the announced
            length.
        """
        if not self._left:
            return b""
        url = self.pace.url
        self.pace.expect()
        with asking(url):
            # read1 returns with the first bytes: progress is seen on slow lines too.
            piece: bytes = self._raw.read1(min(most, self._left), decode_content=False)
        if not piece:
            raise NetworkTrouble(
                f"{url} ended {self._left} bytes before the length it announced"
            )
        self._left -= len(piece)
        if self._left:
            self.pace.count(len(piece))
        return piece


def whole_length(answer: requests.Response, url: str) -> int:
    """Return the length of a whole file that is about to arrive, in bytes.

    Raises
    ------
    PermanentError
        It is a web page, or comes without a length, or with one that is none.
    """
    kind = answer.headers.get("Content-Type", "")
    if kind.lower().startswith("text/html"):
        raise PermanentError(
            f"{url} is a web page, not a tarball",
            hint="open the address in a browser: the store may want another way to log in",
            cause="store-answer",
        )
    length = answer.headers.get("Content-Length", "")
    coding = answer.headers.get("Content-Encoding", "identity")
    size = size_of(length)
    if size is None:
        raise no_length(url, length)
    if coding.lower() != "identity":
        raise no_length(url)
    return size


def check_md5(url: str, found: str, published: str | None) -> None:
    """Raise if what arrived has not the MD5 (hex) that the store publishes, if it does.

    Raises
    ------
    NetworkTrouble
        The bytes are wrong, or the MD5 is.
    """
    if published is None or found == published:
        return
    raise NetworkTrouble(
        f"{url} arrived with the MD5 {found}; the store publishes {published}",
        hint="it is downloaded again; if that does not help, the tarball in the store "
        "is damaged, or its md5sum file is not its own",
        cause="checksum",
    )


def page(answer: requests.Response, pace: Pace, most: int) -> Iterator[bytes]:
    """Yield the body of `answer` as it arrives, unpacked, in pieces of a bounded size.

    Parameters
    ----------
    most
        Bytes, unpacked, after which it ends with an error.

    Raises
    ------
    NetworkTrouble
        The connection broke, stalled or is too slow.
    PermanentError
        It is longer than `most`, or packed in a way that was not asked for.
    """
    size = 0
    for piece in _unpacked(answer, pace):
        size += len(piece)
        if size > most:
            raise PermanentError(
                f"{pace.url} has more than {most} bytes",
                hint="is it what it is to be?",
                cause="store-answer",
            )
        yield piece


def _unpacked(answer: requests.Response, pace: Pace) -> Iterator[bytes]:
    coding = answer.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if coding == "identity":
        yield from _received(answer, pace)
        return
    if coding not in _PACKED:
        raise PermanentError(
            f"{pace.url} comes packed as {shown(coding)}, which was not asked for",
            hint="have the store send it as it is",
            cause="store-answer",
        )
    unpacker = zlib.decompressobj(_ANY_HEADER)
    for packed in _received(answer, pace):
        rest = packed
        while rest and not unpacker.eof:
            try:
                yield unpacker.decompress(rest, PIECE)
            except zlib.error:
                raise NetworkTrouble(f"{pace.url} cannot be unpacked") from None
            rest = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise NetworkTrouble(f"{pace.url} broke off")


def _received(answer: requests.Response, pace: Pace) -> Iterator[bytes]:
    while True:
        pace.expect()
        with asking(pace.url):
            piece: bytes = answer.raw.read1(PIECE, decode_content=False)
        if not piece:
            return
        pace.count(len(piece))
        yield piece
