"""The ledger in Redis: one record per visit, and the indexes that answer questions.

Keys are described in :mod:`icfqueue.ledger.keys`, who stands in which index in
:mod:`icfqueue.ledger.stored.indexes`. No key of a record
expires. Every change of a record and of all its indexes is one Lua script that first
compares the version the change was made from. Ends of leases and locks are in the
server's own time, so workers' clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import redis

from icfqueue.core.errors import UnreadableRecord
from icfqueue.core.steps import NAMES, UPDATE_CATALOG
from icfqueue.core.visit import Visit, is_store_id
from icfqueue.ledger.keys import LAYOUT, key, visit_key
from icfqueue.ledger.ledger import BATCH, Change, Entry, Unreadable
from icfqueue.ledger.locks import RedisLocks
from icfqueue.ledger.notes import RedisNotes
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.room import RedisRoom
from icfqueue.ledger.roster import RedisRoster
from icfqueue.ledger.stored import lua_scripts, spoilt
from icfqueue.ledger.stored.clock import ServerClock
from icfqueue.ledger.stored.indexes import totals
from icfqueue.ledger.stored.lua_scripts import Script
from icfqueue.ledger.stored.mending import Mender, members_of
from icfqueue.ledger.stored.record_table import RecordTable, layout_compared
from icfqueue.ledger.stored.spoilt import Spoilt, mended
from icfqueue.ledger.stored.tallies import RedisTallies
from icfqueue.ledger.stored.turns import RedisTurns
from icfqueue.ledger.telling.events import RedisEvents

SIGN_OF_LIFE = 15.0
"""Seconds for which a worker that said it lives is believed."""


class RedisLedger:
    """Records of all visits of one broker.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    flush_after
        Seconds after which the first visit that waits for its study page is written.
    """

    def __init__(self, client: redis.Redis, *, flush_after: float = 2.0) -> None:
        self.client: Any = client
        self.flush_after = flush_after
        self._clock = ServerClock(client)
        self._table = RecordTable(client, flush_after, self._clock)
        self._mender = Mender(client, self._table, flush_after)
        self._table.mend_keys = self.mend
        self._renew = Script(client, lua_scripts.RENEW)
        self._past = Script(client, lua_scripts.PAST)
        self._shift = Script(client, lua_scripts.SHIFT)
        self._cut_leases = Script(client, lua_scripts.CUT_LEASES)
        self._flushed = Script(client, lua_scripts.FLUSHED)
        self._delay = Script(client, lua_scripts.DELAY)
        self._lives = Script(client, lua_scripts.LIVES)
        self._workers = Script(client, lua_scripts.WORKERS)
        self.turns = RedisTurns(client, self._table)
        self.tallies = RedisTallies(client)
        self.locks = RedisLocks(client)
        self.notes = RedisNotes(client)
        self.room = RedisRoom(client)
        self.roster = RedisRoster(client)
        self.events = RedisEvents(client)

    # Records

    def get(self, visit: Visit) -> Entry | None:
        """Return the record of `visit`, or None if it was never enqueued.

        Raises
        ------
        UnreadableRecord
            It is not what it must be.
        """
        found = next(self.get_many([visit]))
        if isinstance(found, Unreadable):
            raise UnreadableRecord(
                f"the record of {visit} cannot be read: {found.why}",
                hint=found.hint or f"'icfqueue forget {visit.project} {visit.id}'",
            )
        return found

    def get_many(self, visits: Iterable[Visit]) -> Iterator[Entry | Unreadable | None]:
        """Yield the records of `visits`, in their order."""
        return self._table.read(visits)

    def check_layout(self) -> None:
        """Raise if the broker's data have a layout that only a newer icfqueue knows."""
        self._table.check_layout()

    @mended
    def store_id(self, mine: str | None) -> str | None:
        """Return the id of the store whose visits these are; note `mine` without one."""
        found = self._noted_store()
        # A broker that refuses what is written still answers who only compares.
        if found is None and mine is not None:
            self.client.setnx(key("store"), mine)
            found = self._noted_store()
        return found

    def _noted_store(self) -> str | None:
        return spoilt.read(
            self.client, key("store"), lambda text: text if is_store_id(text) else None
        )

    def bind_store(self, store_id: str) -> None:
        """Write nothing from now on if the visits are those of another store."""
        self._table.store_id = store_id

    def update(
        self,
        visit: Visit,
        change: Change,
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> Record | None:
        """Change a record as :meth:`update_entry` does; return the record alone."""
        entry = self.update_entry(visit, change, lease=lease, orphan=orphan)
        return entry.record if entry else None

    def update_entry(
        self,
        visit: Visit,
        change: Change,
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> Entry | None:
        """Change a record in one atomic step."""
        while True:
            entry = self.get(visit)
            if entry is None:
                return None
            changed = change(entry.record)
            if changed is None:
                return None
            written = self._table.write([(entry, changed)], lease=lease, orphan=orphan)[0]
            if written or orphan:
                return written

    def replace(self, entry: Entry, record: Record, *, lease: float = 0.0) -> Entry | None:
        """Write over what was read; None if somebody changed it meanwhile."""
        return self._table.write([(entry, record)], lease=lease)[0]

    def update_many(
        self,
        wanted: Mapping[Visit, Change],
        *,
        lease: float = 0.0,
        known: Iterable[Entry] = (),
    ) -> dict[Visit, Entry | None]:
        """Change many records, each as :meth:`update_entry` does, in two round trips."""
        entries = {entry.record.visit: entry for entry in known}
        unknown = [visit for visit in wanted if visit not in entries]
        entries |= {
            entry.record.visit: entry
            for entry in self.get_many(unknown)
            if isinstance(entry, Entry)
        }
        found: dict[Visit, Entry | None] = dict.fromkeys(wanted)
        pairs = [
            (entry, changed)
            for visit, change in wanted.items()
            if (entry := entries.get(visit)) and (changed := change(entry.record))
        ]
        for (_, changed), written in zip(
            pairs, self._table.write(pairs, lease=lease), strict=True
        ):
            visit = changed.visit
            found[visit] = written or self._again(visit, wanted[visit], lease)
        return found

    def _again(self, visit: Visit, change: Change, lease: float) -> Entry | None:
        """Change a record that somebody else changed since it was read."""
        with suppress(UnreadableRecord):
            return self.update_entry(visit, change, lease=lease)
        return None

    def put_many(
        self,
        pairs: Sequence[tuple[Entry | None, Record]],
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> list[bool]:
        """Write records, each in one atomic step."""
        written = self._table.write(pairs, lease=lease, orphan=orphan)
        return [entry is not None for entry in written]

    def renew(
        self, visit: Visit, token: str, lease: float, bytes: int = 0, dicoms: int = 0
    ) -> bool:
        """Prolong one lease; see :meth:`renew_all`."""
        return self.renew_all({visit: token}, lease, bytes, dicoms)

    @mended
    def renew_all(
        self, tokens: Mapping[Visit, str], lease: float, bytes: int = 0, dicoms: int = 0
    ) -> bool:
        """Prolong leases in one atomic step, and note the progress of the running step."""
        keys, args = [key("leases")], [str(int(lease * 1000)), f"{bytes} {dicoms}"]
        for visit, token in tokens.items():
            keys += [visit_key(visit), key("progress", visit.project)]
            args += [token, str(visit), visit.id]
        return bool(self._renew(keys=keys, args=args))

    def now(self) -> float:
        """Return the time by the server's clock, in seconds since 1970."""
        return self._clock.now()

    def forget(
        self, visit: Visit, found: Entry | Unreadable | None, *, force: bool = False
    ) -> bool:
        """Remove a record, and the visit from every index."""
        return self._table.forget(visit, found, force=force)

    @mended
    def recount(self, project: str) -> bool:
        """Make the sums of a project anew; False if it is too busy for that."""
        return self._table.recount(project, lambda: self.visits(project))

    def clock_stepped(self) -> float:
        """Return by how many seconds the server's clock was set since the last call."""
        return self._clock.stepped()

    @mended
    def shift_times(self, seconds: float) -> None:
        """Move what is due later by `seconds`, as the server's clock was moved."""
        keys = [key("due"), key("flush")]
        self._shift(keys=keys, args=[int(seconds * 1000)])

    @mended
    def cut_leases(self, lease: float) -> None:
        """Have leases end in `lease` seconds that end much later than any could."""
        self._cut_leases(keys=[key("leases")], args=[int(lease * 1000)])

    # Keys that hold what cannot be ours

    def mend(self, also: Iterable[Visit] = (), *, met: bool = True) -> None:
        """Remove what cannot be ours, and make anew what follows from the records."""
        self._mender.mend(also, met=met)

    def unmended(self) -> bool:
        """Tell whether an index was removed, and nobody is at making it anew."""
        return self._mender.unfinished()

    # Questions

    @mended
    def projects(self) -> list[str]:
        """Return the ids of all projects that were ever enqueued."""
        return sorted(self.client.smembers(key("projects")))

    @mended
    def counts(self, project: str) -> dict[State, int]:
        """Return how many visits are in each state; its cost does not depend on them."""
        # All at one moment: a visit that changes its state meanwhile must not be missed.
        pipe = self.client.pipeline()
        for state in State:
            pipe.scard(key("in", project, state))
        return dict(zip(State, pipe.execute(), strict=True))

    @mended
    def on_the_way(self, project: str) -> tuple[dict[State, int], dict[str, int]]:
        """Return :meth:`counts`, and how many visits are queued at each step."""
        pipe = self.client.pipeline()
        for state in State:
            pipe.scard(key("in", project, state))
        for name in NAMES:
            pipe.scard(key("ready", project, name))
        found = pipe.execute()
        counts = dict(zip(State, found, strict=False))
        return counts, dict(zip(NAMES, found[len(counts) :], strict=True))

    @mended
    def totals(self, project: str) -> dict[str, int]:
        """Return bytes of all tarballs, and bytes and DICOMs of those that were read."""
        found = self.client.hgetall(key("totals", project))
        sums = {field: spoilt.amount(found.get(field, "0")) for field in totals(None)}
        if None in sums.values():
            raise Spoilt(key("totals", project))
        return {field: amount or 0 for field, amount in sums.items()}

    @mended
    def progress(self, project: str) -> dict[str, tuple[int, int]]:
        """Return the bytes and DICOMs that the running steps have dealt with."""
        where = key("progress", project)
        found: dict[str, str] = self.client.hgetall(where)
        read = {name: spoilt.amounts(text) for name, text in found.items()}
        for name in (name for name, two in read.items() if two is None):
            spoilt.drop(self.client, where, "an entry is no progress", name)
        return {name: two for name, two in read.items() if two}

    @mended
    def visits(self, project: str, states: Iterable[State] = State) -> list[Visit]:
        """Return the visits of `project` in `states`, by id."""
        keys = [key("in", project, state) for state in states]
        names = sorted(self.client.sunion(keys))
        named = [Visit.named(project, name) for name in names]
        if None in named:
            # Counted without being asked for by name, it would be waited for for ever.
            with suppress(redis.RedisError):
                for name in keys:
                    members_of(self.client, name, project)
        return [visit for visit in named if visit]

    def records(self, project: str, states: Iterable[State] = State) -> list[Record]:
        """Return the records of `project` in `states`, by visit id."""
        found = self.get_many(self.visits(project, states))
        return [entry.record for entry in found if isinstance(entry, Entry)]

    @mended
    def ready(self, project: str, step_name: str) -> list[Visit]:
        """Return the visits that are queued at a step."""
        names = sorted(self.client.smembers(key("ready", project, step_name)))
        return [visit for name in names if (visit := Visit.named(project, name))]

    @mended
    def ready_count(self, project: str, step_name: str) -> int:
        """Return how many visits are queued at a step."""
        return int(self.client.scard(key("ready", project, step_name)))

    @mended
    def running_count(self) -> int:
        """Return how many visits of all projects are being worked on."""
        return int(self.client.zcard(key("leases")))

    # What the supervisor asks

    def orphans(self, limit: int = BATCH, without: Collection[Visit] = ()) -> list[Visit]:
        """Return running visits whose lease has run out, others than `without`."""
        return self._past_of("leases", limit, without)

    def due(self, limit: int = BATCH, without: Collection[Visit] = ()) -> list[Visit]:
        """Return waiting visits whose time has come, others than `without`."""
        return self._past_of("due", limit, without)

    @mended
    def _past_of(self, name: str, limit: int, without: Collection[Visit]) -> list[Visit]:
        found = self._past(keys=[key(name)], args=[0, limit + len(without)])
        named = {member: Visit.read(member) for member in found}
        if strange := [member for member, visit in named.items() if visit is None]:
            # No visit's: it would stand before all others for ever.
            self.client.zrem(key(name), *strange)
        return [v for v in named.values() if v and v not in without][:limit]

    @mended
    def flushes_due(self) -> list[str]:
        """Return projects whose catalog should be written now."""
        return list(self._past(keys=[key("flush")], args=[0, BATCH]))

    @mended
    def delay_flush(self, project: str, seconds: float) -> None:
        """Put off writing the catalog of `project`, if that is due at all."""
        self._delay(keys=[key("flush")], args=[project, int(seconds * 1000)])

    @mended
    def flush_now(self, project: str) -> None:
        """Have the catalog of `project` written at once, whenever that was due."""
        self.client.zadd(key("flush"), {project: 0})

    @mended
    def flushed(self, project: str, seconds: float) -> bool:
        """Note that the catalog was written; the next time is in `seconds`, if needed."""
        keys = [key("flush"), key("ready", project, UPDATE_CATALOG.name)]
        return bool(self._flushed(keys=keys, args=[project, int(seconds * 1000)]))

    @mended
    def worker_lives(self, name: str) -> None:
        """Note that the worker `name` is alive."""
        with layout_compared():
            self._lives(keys=[key("workers"), key("layout")], args=[name, LAYOUT])

    @mended
    def workers(self) -> list[str]:
        """Return the workers that were alive a moment ago."""
        return list(self._workers(keys=[key("workers")], args=[SIGN_OF_LIFE]))

    def uptime(self) -> float:
        """Return for how many seconds the server has been up."""
        info: dict[str, Any] = self.client.info("server")
        return float(info["uptime_in_seconds"])
