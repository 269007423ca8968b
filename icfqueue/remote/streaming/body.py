"""A file of the store that is read while it comes, over as many connections as it takes.

Where a connection breaks the next one goes on, at the byte that is still to come
(RFC 9110, 13.1.5 and 14): whoever reads sees nothing of it. What is known of the bytes so
far stays in memory alone, so that a reader that is killed begins again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

from icfqueue.core.errors import (
    NetworkTrouble,
    StepError,
    StoreBusy,
    TarballTouched,
    TransientError,
)
from icfqueue.remote.client import RemoteStore
from icfqueue.remote.download import Download

PIECE = 1 << 18
"""Most bytes that are taken from the connection at once."""

PAUSES = (0.0, 1.0, 4.0, 10.0)
"""Seconds before the next connection, by how many in a row brought nothing; after the
last one the file is given up."""

LONGEST_WAIT = 30.0
"""Seconds that a store may ask to wait in the middle of a file. Whoever is asked for more
lets go of the worker, and begins again."""

LOOK = 0.2
"""Seconds between two safe points of a pause."""


class Body:
    """The bytes of a file of the store, in order; a context manager.

    Parameters
    ----------
    remote
        The store; asked for nothing else meanwhile.
    storepath
        ``<project>/<visit>_dicom.tar``.
    check
        Called whenever bytes have come, and in pauses; what it raises ends the reading.

    Attributes
    ----------
    file
        The file, as its first answer tells of it.
    have
        How many bytes have come.

    Raises
    ------
    StepError
        As :meth:`RemoteStore.open`, where the file is not begun.
    """

    def __init__(
        self, remote: RemoteStore, storepath: str, check: Callable[[], None]
    ) -> None:
        self._remote = remote
        self._storepath = storepath
        self._check = check
        self._connection = ExitStack()
        self.have = 0
        self._download = self._open()
        self.file = self._download.file
        self._in_vain = 0
        self._since = time.monotonic()
        self._before = 0  # bytes that had come at `_since`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, most: int, /) -> bytes:
        """Return what has come, up to `most` bytes; nothing at the end of the file.

        Raises
        ------
        NetworkTrouble, StoreBusy
            Connections break without bringing anything, or bring it too slowly; or the
            store does not send what is left alone.
        TarballTouched
            The store has another file by now.
        PermanentError
            It refuses what is left, or has it no more.
        """
        while True:
            try:
                piece = self._download.read(min(most, PIECE))
            except NetworkTrouble as error:
                if self._download.pace.too_slow or self.file.validator is None:
                    raise
                self._go_on(error)
            else:
                self.have += len(piece)
                self._check()
                return piece

    def _go_on(self, error: TransientError) -> None:
        """Go on with the bytes that are still to come, over a new connection."""
        while True:
            self._wait(self._pause(error))
            try:
                download = self._open()
            except (NetworkTrouble, StoreBusy) as again:
                error = again
            else:
                break
        if download.start != self.have:
            raise self._begins_anew(download)
        self._download = download

    def _open(self) -> Download:
        self._connection.close()
        known = self.file if self.have else None
        return self._connection.enter_context(
            self._remote.open(self._storepath, start=self.have, known=known)
        )

    def _pause(self, error: TransientError) -> float:
        """Return how many seconds to wait; raise `error` if that is of no use any more.

        A connection that brought less than the least rate of the store has brought
        nothing: else a store could keep a worker for ever by breaking off.
        """
        now = time.monotonic()
        brought, took = self.have - self._before, now - self._since
        self._since, self._before = now, self.have
        useful = 0 < brought >= self._download.pace.least * took
        self._in_vain = 0 if useful else self._in_vain + 1
        asked = error.retry_after or 0.0
        if not self.have or self._in_vain >= len(PAUSES) or asked > LONGEST_WAIT:
            raise error
        return max(PAUSES[self._in_vain], asked)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(LOOK, left))
            self._check()

    def _begins_anew(self, download: Download) -> StepError:
        """Return the error of a store that would send the file from its first byte."""
        url = self._download.pace.url
        if download.file != self.file:
            return TarballTouched(
                f"{url} was replaced in the store while it was read",
                hint="nothing may write to a tarball in the store; it is read again",
            )
        return NetworkTrouble(
            f"{url} broke off after {self.have} bytes, and the store does not send the "
            "rest alone",
            hint="it is read again from its beginning; have the store answer requests with "
            "Range, or download first: 'icfqueue run PROJECT VISIT --no-stream'",
        )
