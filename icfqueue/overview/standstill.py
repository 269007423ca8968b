"""Why a project does not go on, or not as it could: each reason with its remedy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from icfqueue.core.plain_text import for_visit
from icfqueue.core.settings import Settings
from icfqueue.core.steps import STEPS
from icfqueue.ledger.ledger import Ledger
from icfqueue.ledger.record import State
from icfqueue.ledger.roster import Sign
from icfqueue.overview.picture import Picture
from icfqueue.pipeline.health.circuit_breaker import CircuitBreaker

STILL = 4.0
"""Seconds without any step at work after which a project stands still."""

_NOTED = {
    "access": "the store refuses {project}",
    "disk": "no step begins, for the disk is full",
    "store": "no download begins, for the store is left alone for a while",
}


_OVER_BY_ITSELF = frozenset({"indexes", "waiting"})
"""Reasons that end when it is known, or at once."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing moves.

    Attributes
    ----------
    code
        ``broker``, ``indexes``, ``workers``, ``supervisor``, ``queues``, ``access``,
        ``disk``, ``store``, ``waiting``, ``others`` or ``unknown``.
    text
        What was found.
    remedy
        What helps; empty if nothing is to be done.
    plain
        What was found, without the words of an error, which may name a file.
    """

    code: str
    text: str
    remedy: str = ""
    plain: str = ""

    @property
    def lasts(self) -> bool:
        """Whether nobody can tell when it is over: no time that is left can be told."""
        return self.code not in _OVER_BY_ITSELF


@dataclass
class Standstill:
    """Tells, look by look, why a project stands still.

    Attributes
    ----------
    settings
        Which store is asked, and how often.
    """

    ledger: Ledger
    settings: Settings
    _moved: float = field(default_factory=time.monotonic)
    _done: int = -1

    def look(self, picture: Picture) -> list[Reason]:
        """Return the reasons, the weightiest first; none if all is well.

        Raises
        ------
        redis.RedisError
            The broker is away.
        """
        ended = picture.visits - picture.active
        if picture.counts[State.RUNNING] or picture.drained or ended != self._done:
            self._moved = time.monotonic()
            self._done = ended
        still = time.monotonic() - self._moved >= STILL
        if picture.drained:
            return []
        return self.reasons(picture) if still else [*self._notes(picture)]

    def reasons(self, picture: Picture) -> list[Reason]:
        """Return why a project does not move, the weightiest reason first.

        Raises
        ------
        redis.RedisError
            The broker is away.
        """
        found = [*self._of_workers(picture), *self._notes(picture)]
        return found or [self._otherwise(picture)]

    def _notes(self, picture: Picture) -> Iterator[Reason]:
        """Yield what workers have noted of disk and store."""
        if self.ledger.unmended():
            yield Reason("indexes", "the broker's lists of visits are made anew")
        breaker = CircuitBreaker(self.ledger, self.settings)
        for note in breaker.noted(picture.project, self.settings.store_url):
            plain = _NOTED[note.kind].format(project=picture.project)
            hint = for_visit(note.hint, picture.project)
            yield Reason(note.kind, f"{plain}: {note.message}", hint, plain)

    def _of_workers(self, picture: Picture) -> Iterator[Reason]:
        if not self.ledger.workers():
            yield Reason(
                "workers",
                "nothing moves, for no worker is running",
                f"start 'icfqueue worker', or use 'icfqueue run {picture.project}'",
            )
        elif not self.ledger.notes.there(["lock:supervisor"]):
            yield Reason(
                "supervisor",
                "nothing moves, for no worker looks after the others",
                "if that lasts, start one more worker and look at the log of the others",
            )

        if found := unserved(picture.signs, picture.lined_up):
            yield found

    def _otherwise(self, picture: Picture) -> Reason:
        """Return why nothing moves though all is well."""
        counts = picture.counts
        waiting = counts[State.WAITING]
        if waiting and waiting == picture.active:
            return Reason("waiting", _all_wait(waiting))
        if self.ledger.running_count():
            return Reason(
                "others", "nothing moves, for the workers are busy with other projects"
            )
        return Reason(
            "unknown",
            f"nothing moves: no worker takes one of {counts[State.QUEUED]} visits in line",
            "does any worker serve their queue (--queues)? its log says what it waits for",
        )


def unserved(signs: Sequence[Sign], lined_up: Mapping[str, int]) -> Reason | None:
    """Return that visits wait in a queue that no worker serves; None if none do.

    Parameters
    ----------
    signs
        Of the workers that live; without any nothing is told.
    lined_up
        Visits that wait for a worker, by the step that they stand at.
    """
    served = {queue for sign in signs for queue in sign.queues}
    for one in STEPS if served else ():
        if lined_up.get(one.name) and one.queue not in served:
            return Reason(
                "queues",
                f"no worker serves the queue {one.queue}, in which visits wait",
                f"start 'icfqueue worker --queues {one.queue}'",
            )
    return None


def _all_wait(waiting: int) -> str:
    """Return that nobody can do anything; when the next try is, the picture tells."""
    if waiting == 1:
        return "nothing moves: the one visit that is left waits for another try"
    return f"nothing moves: all {waiting} that are left wait for another try"
