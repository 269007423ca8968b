"""The ledger as others may use it: one record per visit, locks, notes.

:class:`icfqueue.ledger.redis_ledger.RedisLedger` keeps them in Redis. Nothing goes round
this interface to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from icfqueue.core.visit import Visit
from icfqueue.ledger.locks import Locks
from icfqueue.ledger.notes import Notes
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.room import Room
from icfqueue.ledger.roster import Roster

if TYPE_CHECKING:  # it needs what is defined here
    from icfqueue.ledger.stored.tallies import RedisTallies
    from icfqueue.ledger.stored.turns import Turns
    from icfqueue.ledger.telling.events import Events

BATCH = 500
"""Records per round trip where many are read or written."""

Change = Callable[[Record], Record | None]
"""What becomes of a record; None leaves it as it is. What it raises passes through."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it was read, and the version it had.

    Attributes
    ----------
    word
        Of the write that made it; empty if that is not known. Versions begin anew when
        the broker's data are lost or taken from a backup, words never come again.
    """

    record: Record
    version: str
    word: str = field(default="", compare=False)

    def after(self, record: Record, word: str = "") -> Entry:
        """Return what is there once `record` was written over this one."""
        return Entry(record, str(int(self.version) + 1), word)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that this release cannot read; it is left alone.

    Attributes
    ----------
    why
        What is wrong with it.
    hint
        What to do, if that is something else than to forget it.
    """

    visit: Visit
    version: str
    why: str
    hint: str = ""


class Ledger(Protocol):
    """Records of all visits of one broker.

    Attributes
    ----------
    locks
        Locks of whole studies and of roles, each with an end of its own.
    notes
        What workers tell each other of disk and store.
    room
        Room on the disk that is promised to downloads.
    roster
        Which workers live, and what each does.
    events
        What happened to visits, in order.
    turns
        Who is served next, and whose message is missing.
    tallies
        What happened, counted: for monitoring.
    """

    @property
    def locks(self) -> Locks: ...
    @property
    def notes(self) -> Notes: ...
    @property
    def room(self) -> Room: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def events(self) -> Events: ...
    @property
    def turns(self) -> Turns: ...
    @property
    def tallies(self) -> RedisTallies: ...

    # Records

    def get(self, visit: Visit) -> Entry | None:
        """Return the record of `visit`, or None if it was never enqueued.

        Raises
        ------
        UnreadableRecord
            It is not what it must be.
        """

    def get_many(self, visits: Iterable[Visit]) -> Iterator[Entry | Unreadable | None]:
        """Yield the records of `visits`, in their order."""

    def check_layout(self) -> None:
        """Raise if the broker's data have a layout that only a newer icfqueue knows.

        Raises
        ------
        NewerLayout
            They have. Writing a record raises it, too.
        """

    def update(
        self, visit: Visit, change: Change, *, lease: float = 0.0, orphan: bool = False
    ) -> Record | None:
        """Change a record as :meth:`update_entry` does; return the record alone."""

    def update_entry(
        self, visit: Visit, change: Change, *, lease: float = 0.0, orphan: bool = False
    ) -> Entry | None:
        """Change a record in one atomic step.

        Parameters
        ----------
        change
            Called again if somebody else was faster.
        lease
            Seconds that a new token is good for.
        orphan
            Only if the lease has run out.

        Returns
        -------
        Entry or None
            The new record; None if there is none or it was left alone.
        """

    def replace(self, entry: Entry, record: Record, *, lease: float = 0.0) -> Entry | None:
        """Write over what was read; None if somebody changed it meanwhile.

        Parameters
        ----------
        lease
            Seconds that a new token is good for.
        """

    def store_id(self, mine: str | None) -> str | None:
        """Return the id of the store whose visits these are, None if there is none.

        Parameters
        ----------
        mine
            Noted if there is none yet.
        """

    def bind_store(self, store_id: str) -> None:
        """Write nothing from now on if the visits are those of another store.

        What would be written raises :class:`~icfqueue.core.errors.OtherStore`.
        """

    def update_many(
        self,
        wanted: Mapping[Visit, Change],
        *,
        lease: float = 0.0,
        known: Iterable[Entry] = (),
    ) -> dict[Visit, Entry | None]:
        """Change many records, each as :meth:`update_entry` does, in two round trips.

        Parameters
        ----------
        known
            What is there as far as the caller knows. It need not be read; if somebody
            has changed it, that is noticed when it is written.

        Returns
        -------
        dict
            What :meth:`update_entry` returns, for each visit.
        """

    def put_many(
        self,
        pairs: Sequence[tuple[Entry | None, Record]],
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> list[bool]:
        """Write records, each in one atomic step.

        Parameters
        ----------
        pairs
            What was read (None: there was no record) and what it becomes.
        lease, orphan
            As for :meth:`update_entry`.

        Returns
        -------
        list of bool
            Which were written; the others were changed by somebody else meanwhile.
        """

    def renew(
        self, visit: Visit, token: str, lease: float, bytes: int = 0, dicoms: int = 0
    ) -> bool:
        """Prolong one lease; see :meth:`renew_all`."""

    def renew_all(
        self, tokens: Mapping[Visit, str], lease: float, bytes: int = 0, dicoms: int = 0
    ) -> bool:
        """Prolong leases in one atomic step, and note the progress of the running step.

        Parameters
        ----------
        tokens
            Visit to the token of its lease.
        lease
            Seconds that the leases are good for.
        bytes, dicoms
            What the step has dealt with.

        Returns
        -------
        bool
            False if any lease is no longer held with its token; then none was prolonged.
        """

    def now(self) -> float:
        """Return the time by the server's clock, in seconds since 1970.

        Records have these times: workers' clocks may differ, and step.
        """

    def forget(
        self, visit: Visit, found: Entry | Unreadable | None, *, force: bool = False
    ) -> bool:
        """Remove a record, and the visit from every index.

        Parameters
        ----------
        found
            What was read; if it was None, the visit is taken out of the indexes.
        force
            Although a worker holds its lease, which it then loses.

        Returns
        -------
        bool
            False if it was changed meanwhile, or a worker holds it.
        """

    def clock_stepped(self) -> float:
        """Return by how many seconds the server's clock was set since the last call.

        Above 0 it was set forward.
        """

    def shift_times(self, seconds: float) -> None:
        """Move what is due later by `seconds`, as the server's clock was moved."""

    def cut_leases(self, lease: float) -> None:
        """Have leases end in `lease` seconds that end much later than any could."""

    def mend(self, also: Iterable[Visit] = (), *, met: bool = True) -> None:
        """Remove what cannot be ours, and make anew what follows from the records.

        Whatever meets such a key has it mended by itself; what only gives a wrong picture
        is met here (:mod:`icfqueue.ledger.stored.mending`).

        Parameters
        ----------
        also
            Visits that are put in every index in which they must stand in any case.
        met
            A spoilt key was met, and is to be found wherever it is.
        """

    def unmended(self) -> bool:
        """Tell whether an index was removed, and nobody is at making it anew."""

    def recount(self, project: str) -> bool:
        """Make the sums of a project anew; False if it is too busy for that."""

    # Questions

    def projects(self) -> list[str]:
        """Return the ids of all projects that were ever enqueued."""

    def counts(self, project: str) -> dict[State, int]:
        """Return how many visits are in each state; its cost does not depend on them."""

    def on_the_way(self, project: str) -> tuple[dict[State, int], dict[str, int]]:
        """Return :meth:`counts`, and how many visits are queued at each step."""

    def totals(self, project: str) -> dict[str, int]:
        """Return bytes of all tarballs, and bytes and DICOMs of those that were read."""

    def progress(self, project: str) -> dict[str, tuple[int, int]]:
        """Return the bytes and DICOMs that the running steps have dealt with."""

    def visits(self, project: str, states: Iterable[State] = State) -> list[Visit]:
        """Return the visits of `project` in `states`, by id."""

    def records(self, project: str, states: Iterable[State] = State) -> list[Record]:
        """Return the records of `project` in `states`, by visit id."""

    def ready(self, project: str, step_name: str) -> list[Visit]:
        """Return the visits that are queued at a step."""

    def ready_count(self, project: str, step_name: str) -> int:
        """Return how many visits are queued at a step."""

    def running_count(self) -> int:
        """Return how many visits of all projects are being worked on."""

    def uptime(self) -> float:
        """Return for how many seconds the server has been up."""

    # What the supervisor asks

    def orphans(self, limit: int = BATCH, without: Collection[Visit] = ()) -> list[Visit]:
        """Return running visits whose lease has run out, others than `without`."""

    def due(self, limit: int = BATCH, without: Collection[Visit] = ()) -> list[Visit]:
        """Return waiting visits whose time has come, others than `without`."""

    # When catalogs are written

    def flushes_due(self) -> list[str]:
        """Return projects whose catalog should be written now."""

    def delay_flush(self, project: str, seconds: float) -> None:
        """Put off writing the catalog of `project`, if that is due at all."""

    def flush_now(self, project: str) -> None:
        """Have the catalog of `project` written at once, whenever that was due."""

    def flushed(self, project: str, seconds: float) -> bool:
        """Note that the catalog was written; the next time is in `seconds`, if needed.

        Returns
        -------
        bool
            Whether no visit is left that waits for it.
        """

    # Workers

    def worker_lives(self, name: str) -> None:
        """Note that the worker `name` is alive.

        Raises
        ------
        NewerLayout
            It must not go on.
        """

    def workers(self) -> list[str]:
        """Return the workers that were alive a moment ago."""
