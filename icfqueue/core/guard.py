"""What a step asks of whoever runs it.

Domain code calls a :class:`Guard` at safe points and before a file appears or goes. Run by
hand, nobody guards and every call returns at once; run by a worker, the calls report
progress and raise :class:`~icfqueue.core.errors.Withdrawn` when the work must be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from icfqueue.core.processes.groups import end_group

if TYPE_CHECKING:
    import subprocess


class Answer(NamedTuple):
    """Whether room was promised, and the bytes that others are promised."""

    granted: bool
    others: int


class Guard:
    """Nobody guards: progress is forgotten, every change is allowed."""

    def advance(self, *, bytes: int = 0, dicoms: int = 0) -> None:
        """Report progress; a safe point, at which the work may be called off.

        Parameters
        ----------
        bytes, dicoms
            How many more were dealt with since the last call.

        Raises
        ------
        Withdrawn
            The work must be dropped.
        """

    def before_change(self, name: str) -> None:
        """Ask whether the store may be changed now: a file appear, or one go.

        Parameters
        ----------
        name
            The file or the visit, for the message.

        Raises
        ------
        Withdrawn
            The visit is no longer this worker's: throw the work away.
        """

    def promise_room(self, size: int, free: Callable[[], int]) -> Answer:
        """Ask for room on the disk until the work is over.

        Others who ask meanwhile are told that it is taken. What :meth:`advance` counts
        from now on is taken off.

        Parameters
        ----------
        size
            Bytes that are to be written.
        free
            Tells how many bytes are free.
        """
        return Answer(size <= max(0, free()), 0)

    @contextmanager
    def minding(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Have `process` (the leader of its own process group) ended with the step."""
        try:
            yield
        except BaseException:
            end_group(process)
            raise


UNGUARDED = Guard()
"""For use without a queue: tests, scripts, ``icfqueue catalog``."""
