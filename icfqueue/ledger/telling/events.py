"""Events: what happened to visits, in order, as a stream that all may follow.

An event is written by the script that writes the record (:data:`lua_scripts.COMMIT`): it
costs no round trip, and what a record says was said, whoever dies next. The stream keeps
the last :data:`KEPT`, more or less; a broker whose user may not write it, or in which
something else has its name, writes the record all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from icfqueue.core.plain_text import shown
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import key
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.stored import spoilt
from icfqueue.ledger.stored.spoilt import mended

if TYPE_CHECKING:
    import redis

KEPT = 100_000
"""Events that the stream keeps, at least: some 120 bytes each in the broker's memory."""

PAGE = 1000
"""Events per round trip."""

_LAST = 2**64 - 1
"""The last id of a millisecond."""

MOST = 300
"""Characters of a message that an event has room for; the record has it whole."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a visit.

    Attributes
    ----------
    kind
        ``visit.enqueued``, ``visit.cancelled``, ``visit.due``, ``visit.orphaned`` (its
        worker vanished), ``visit.recorded``, ``step.began``, ``step.done``,
        ``step.waiting``, ``step.failed``, ``step.given_back``, ``step.withdrawn``.
    step
        Which step it was about.
    state
        State of the visit from then on.
    worker
        ``host:pid`` of whose step it was; empty where it was a command or the supervisor.
    cause, message
        Of an error; the message in full is in the record.
    id, t
        Place in the stream, and seconds since 1970 by the server's clock; not stored.
    """

    kind: str
    project: str
    visit: str
    step: str = ""
    state: str = ""
    worker: str = ""
    cause: str = ""
    message: str = ""
    id: str = ""
    t: float = 0.0


def between(old: Record | None, new: Record) -> Event | None:
    """Return what happened where a record became another; None: nothing to tell."""
    kind = _kind(old, new)
    if not kind:
        return None
    # What a worker did it did to the step at which the visit stood until then.
    place = old if old and kind.startswith("step.") else new
    step = new.steps[min(place.position, len(new.steps) - 1)]
    error = new.error if kind in {"step.waiting", "step.failed"} else None
    told = kind.startswith("step.") or kind == "visit.orphaned"
    message = shown((error or {}).get("message", ""), MOST)
    if kind == "step.done" and step.seconds is not None:
        message = f"{step.seconds:.2f} s"
    return Event(
        kind=kind,
        project=new.visit.project,
        visit=new.visit.id,
        step=place.step,
        state=new.state.value,
        worker=(step.worker or "") if told else "",
        cause=(error or {}).get("cause", ""),
        message=message,
    )


def _kind(old: Record | None, new: Record) -> str:
    """Return the kind of what happened, empty if that is nothing."""
    state = new.state
    if old is None:
        return "visit.enqueued" if state == State.QUEUED else "visit.recorded"
    if new.generation != old.generation:
        return "visit.cancelled" if state == State.CANCELLED else "visit.enqueued"
    if new.position > old.position:
        return "step.done"
    if (state, new.token) == (old.state, old.token):
        return ""
    return _requeued(old, new) if state == State.QUEUED else _OF_STATE.get(state, "")


_OF_STATE = {
    State.RUNNING: "step.began",
    State.WAITING: "step.waiting",
    State.FAILED: "step.failed",
}


def _requeued(old: Record, new: Record) -> str:
    """Return why a visit is queued again at the step at which it stood."""
    if old.state != State.RUNNING:
        return "visit.due"
    crashed = new.steps[new.position].crashes > old.steps[old.position].crashes
    return "visit.orphaned" if crashed else "step.given_back"


def as_text(event: Event | None) -> str:
    """Return an event as the stream has it; empty for none."""
    return msgspec.json.encode(event).decode() if event else ""


class Events(Protocol):
    """What happened to visits, in order."""

    def add(self, event: Event) -> None:
        """Write an event that goes with no change of a record."""

    def now(self) -> str:
        """Return the id after which an event comes that happens from now on."""

    def after(self, last: str, limit: int = PAGE) -> list[Event]:
        """Return what followed the event with the id `last`, at most `limit` of it."""

    def all(self) -> Iterator[Event]:
        """Yield all that is kept, the oldest first."""

    def forget(self, visits: Collection[Visit]) -> None:
        """Remove what was said of `visits`."""


class RedisEvents:
    """Events in a Redis stream.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._where = key("events")

    def mend(self) -> None:
        """Begin anew: what has the stream's name is something else."""
        spoilt.drop(self._client, self._where, "it is no stream")

    @mended
    def add(self, event: Event) -> None:
        """Write an event that goes with no change of a record."""
        self._client.xadd(self._where, {"e": as_text(event)}, maxlen=KEPT, approximate=True)

    def now(self) -> str:
        """Return the id after which an event comes that happens from now on."""
        # Ids have the server's time. Who asks for the newest needs one right more.
        seconds, micros = self._client.time()
        return f"{seconds * 1000 + micros // 1000 - 1}-{_LAST}"

    @mended
    def after(self, last: str, limit: int = PAGE) -> list[Event]:
        """Return what followed the event with the id `last`, at most `limit` of it."""
        while page := self._page(last, limit):
            if found := _read(page):
                return found
            last = page[-1][0]
        return []

    def all(self) -> Iterator[Event]:
        """Yield all that is kept, the oldest first."""
        last = "0-0"
        while page := self._page(last, PAGE):
            yield from _read(page)
            last = page[-1][0]

    @mended
    def forget(self, visits: Collection[Visit]) -> None:
        """Remove what was said of `visits`."""
        named = {(visit.project, visit.id) for visit in visits}
        gone = [e.id for e in self.all() if (e.project, e.visit) in named]
        for start in range(0, len(gone), PAGE):
            self._client.xdel(self._where, *gone[start : start + PAGE])

    @mended
    def _page(self, last: str, limit: int) -> list[tuple[str, dict[str, str]]]:
        return list(self._client.xrange(self._where, min=f"({last}", count=limit))


def _read(page: list[tuple[str, dict[str, str]]]) -> list[Event]:
    """Return the events of a page; what somebody else wrote there is left out."""
    found = []
    for name, fields in page:
        try:
            event = msgspec.json.decode(fields.get("e", ""), type=Event)
        except msgspec.MsgspecError:
            continue
        t = int(name.partition("-")[0]) / 1000
        found.append(msgspec.structs.replace(event, id=name, t=t))
    return found
