"""The ledger: one record per visit in Redis, and the indexes that answer questions.

This is the one small interface to Redis; keys and indexes are described in
:mod:`icfqueue.indexes`. No key of a record expires. Every change of a record and of all
its indexes is one Lua script that first compares the version the change was made from.
Ends of leases and locks are in the server's own time, so workers' clocks need not agree.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import redis

from icfqueue.indexes import changes, key, totals, visit_key
from icfqueue.record import Record, State
from icfqueue.steps import GATHERED
from icfqueue.visit import Visit

SIGN_OF_LIFE = 15.0
"""Seconds for which a worker that said it lives is believed."""

BATCH = 500
"""Records per round trip where many are read or written."""

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# ARGV: version expected, "1" if the lease must have run out, visit, record, token,
# changes of indexes as JSON: [[command, key, argument...]...], where {"ms": n} stands for
# the time in n milliseconds.
_COMMIT = (
    _NOW
    + """
local version = redis.call('HGET', KEYS[1], 'v') or '0'
if version ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
end
redis.call('HSET', KEYS[1], 'v', version + 1, 't', ARGV[5], 'r', ARGV[4])
for _, change in ipairs(cjson.decode(ARGV[6])) do
  for i, word in ipairs(change) do
    if type(word) == 'table' then change[i] = string.format('%d', now + word.ms) end
  end
  redis.call(unpack(change))
end
return 1
"""
)

# ARGV: token, visit, length of the lease in ms, visit id, progress. A holder that slept
# past the end of its lease still has it as long as nobody took it away.
_RENEW = (
    _NOW
    + """
if redis.call('HGET', KEYS[1], 't') ~= ARGV[1] then return 0 end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
return 1
"""
)

# ARGV: milliseconds from now, how many.
_PAST = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + ARGV[1], 'LIMIT', 0, ARGV[2])
"""
)

# ARGV: token, milliseconds. Take a lock, or renew it if it is ours.
_LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

_UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: flush, ready set. ARGV: project, ms. Forget the flush if nobody is ready.
_FLUSHED = (
    _NOW
    + """
if redis.call('SCARD', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) return 1 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 0
"""
)

# KEYS: sorted set. ARGV: member, ms from now. Move the time of a member that is there.
_DELAY = (
    _NOW
    + """
return redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[2], ARGV[1])
"""
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it was read, and the version it had."""

    record: Record
    version: str


class Ledger:
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
        register: Callable[[str], Any] = client.register_script
        self._commit = register(_COMMIT)
        self._renew = register(_RENEW)
        self._past = register(_PAST)
        self._lock = register(_LOCK)
        self._unlock = register(_UNLOCK)
        self._flushed = register(_FLUSHED)
        self._delay = register(_DELAY)

    # Records

    def get(self, visit: Visit) -> Entry | None:
        """Return the record of `visit`, or None if it was never enqueued."""
        return next(iter(self.get_many([visit])))

    def get_many(self, visits: Iterable[Visit]) -> Iterator[Entry | None]:
        """Yield the records of `visits`, in their order."""
        for chunk in _chunks(list(visits)):
            pipe = self.client.pipeline(transaction=False)
            for visit in chunk:
                pipe.hmget(visit_key(visit), "v", "r")
            for version, text in pipe.execute():
                yield Entry(Record.from_json(text), version) if text else None

    def update(
        self,
        visit: Visit,
        change: Callable[[Record], Record | None],
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> Record | None:
        """Change a record in one atomic step.

        Parameters
        ----------
        visit
            Whose record.
        change
            Gives the new record, or None to leave it; called again if somebody else was
            faster. What it raises passes through.
        lease
            Seconds that a new token is good for.
        orphan
            Only if the lease has run out.

        Returns
        -------
        Record or None
            The new record; None if there is none or it was left alone.
        """
        while True:
            entry = self.get(visit)
            if entry is None:
                return None
            changed = change(entry.record)
            if changed is None:
                return None
            if self.put_many([(entry, changed)], lease=lease, orphan=orphan)[0]:
                return changed
            if orphan:
                return None

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
            As for :meth:`update`.

        Returns
        -------
        list of bool
            Which were written; the others were changed by somebody else meanwhile.
        """
        written: list[bool] = []
        self._ensure_loaded(self._commit)
        for chunk in _chunks(pairs):
            pipe = self.client.pipeline(transaction=False)
            for entry, record in chunk:
                commands = changes(
                    entry.record if entry else None,
                    record,
                    lease=lease,
                    flush_after=self.flush_after,
                )
                self._commit(
                    keys=[visit_key(record.visit), key("leases")],
                    args=[
                        entry.version if entry else "0",
                        "1" if orphan else "0",
                        str(record.visit),
                        record.to_json(),
                        record.token,
                        json.dumps(commands, default=asdict),
                    ],
                    client=pipe,
                )
            written += [bool(answer) for answer in pipe.execute()]
        return written

    def renew(
        self, visit: Visit, token: str, lease: float, bytes: int = 0, dicoms: int = 0
    ) -> bool:
        """Prolong a lease and note the progress of the running step.

        Returns
        -------
        bool
            False if the lease is no longer held with `token`.
        """
        keys = [visit_key(visit), key("leases"), key("progress", visit.project)]
        args = [token, str(visit), int(lease * 1000), visit.id, f"{bytes} {dicoms}"]
        return bool(self._renew(keys=keys, args=args))

    # Questions

    def projects(self) -> list[str]:
        """Return the ids of all projects that were ever enqueued."""
        return sorted(self.client.smembers(key("projects")))

    def counts(self, project: str) -> dict[State, int]:
        """Return how many visits are in each state; its cost does not depend on them."""
        pipe = self.client.pipeline(transaction=False)
        for state in State:
            pipe.scard(key("in", project, state))
        return dict(zip(State, pipe.execute(), strict=True))

    def totals(self, project: str) -> dict[str, int]:
        """Return ``tar_bytes``, ``done_bytes`` and ``done_dicoms`` of all visits."""
        found = self.client.hgetall(key("totals", project))
        return {field: int(found.get(field, 0)) for field in totals(None)}

    def progress(self, project: str) -> dict[str, tuple[int, int]]:
        """Return the bytes and DICOMs that the running steps have dealt with."""
        found = self.client.hgetall(key("progress", project))
        return {
            name: (int(text.split()[0]), int(text.split()[1]))
            for name, text in found.items()
        }

    def visits(self, project: str, states: Iterable[State] = State) -> list[Visit]:
        """Return the visits of `project` in `states`, by id."""
        keys = [key("in", project, state) for state in states]
        return [Visit(project, name) for name in sorted(self.client.sunion(keys))]

    def records(self, project: str, states: Iterable[State] = State) -> list[Record]:
        """Return the records of `project` in `states`, by visit id."""
        found = self.get_many(self.visits(project, states))
        return [entry.record for entry in found if entry]

    def ready(self, project: str, step_name: str) -> list[Visit]:
        """Return the visits that are queued at a step."""
        names = self.client.smembers(key("ready", project, step_name))
        return [Visit(project, name) for name in sorted(names)]

    def ready_count(self, project: str, step_name: str) -> int:
        """Return how many visits are queued at a step."""
        return int(self.client.scard(key("ready", project, step_name)))

    # What the supervisor asks

    def orphans(self, limit: int = BATCH) -> list[Visit]:
        """Return running visits whose lease has run out."""
        return self._parsed(self._past(keys=[key("leases")], args=[0, limit]))

    def due(self, limit: int = BATCH) -> list[Visit]:
        """Return waiting visits whose time has come."""
        return self._parsed(self._past(keys=[key("due")], args=[0, limit]))

    def unsent(self, queue: str, age: float, limit: int = BATCH) -> list[Visit]:
        """Return visits queued on `queue` whose message was sent `age` seconds ago."""
        ago = -int(age * 1000)
        return self._parsed(self._past(keys=[key("sent", queue)], args=[ago, limit]))

    def queued_count(self, queue: str) -> int:
        """Return how many visits should have a message in `queue`."""
        return int(self.client.zcard(key("sent", queue)))

    def sent(self, visits: Iterable[Visit], queue: str) -> None:
        """Note that messages for `visits` were sent just now."""
        self._ensure_loaded(self._delay)
        pipe = self.client.pipeline(transaction=False)
        for visit in visits:
            self._delay(keys=[key("sent", queue)], args=[str(visit), 0], client=pipe)
        pipe.execute()

    def flushes_due(self) -> list[str]:
        """Return projects whose catalog should be written now."""
        return list(self._past(keys=[key("flush")], args=[0, BATCH]))

    def delay_flush(self, project: str, seconds: float) -> None:
        """Put off writing the catalog of `project`, if that is due at all."""
        self._delay(keys=[key("flush")], args=[project, int(seconds * 1000)])

    def flushed(self, project: str, seconds: float) -> bool:
        """Note that the catalog was written; the next time is in `seconds`, if needed.

        Returns
        -------
        bool
            Whether no visit is left that waits for it.
        """
        keys = [key("flush"), key("ready", project, GATHERED)]
        return bool(self._flushed(keys=keys, args=[project, int(seconds * 1000)]))

    def worker_lives(self, name: str) -> None:
        """Note that the worker `name` is alive."""
        self.client.zadd(key("workers"), {name: time.time()})

    def workers(self) -> list[str]:
        """Return the workers that were alive a moment ago."""
        self.client.zremrangebyscore(key("workers"), "-inf", time.time() - 3600)
        found = self.client.zrangebyscore(
            key("workers"), time.time() - SIGN_OF_LIFE, "+inf"
        )
        return list(found)

    def uptime(self) -> float:
        """Return for how many seconds the server has been up."""
        info: dict[str, Any] = self.client.info("server")
        return float(info["uptime_in_seconds"])

    # Values with an end of their own

    def lock(self, name: str, token: str, seconds: float) -> bool:
        """Take the lock `name`, or renew it if `token` holds it."""
        args = [token, int(seconds * 1000)]
        return bool(self._lock(keys=[key("lock", name)], args=args))

    def unlock(self, name: str, token: str) -> None:
        """Give the lock back, if `token` still holds it."""
        self._unlock(keys=[key("lock", name)], args=[token])

    @contextmanager
    def locked(self, name: str, seconds: float, wait: float = 0.0) -> Iterator[str | None]:
        """Hold the lock `name`; yields its token, or None if it is not to be had."""
        token = secrets.token_hex(8)
        end = time.monotonic() + wait
        while not (got := self.lock(name, token, seconds)) and time.monotonic() < end:
            time.sleep(0.1)
        try:
            yield token if got else None
        finally:
            if got:
                self.unlock(name, token)

    def put_note(self, name: str, text: str, seconds: float | None = None) -> None:
        """Leave a note for all workers, for good or for `seconds`."""
        end = None if seconds is None else max(1, int(seconds * 1000))
        self.client.set(key(name), text, px=end)

    def note(self, name: str) -> str | None:
        """Return the note called `name`, or None."""
        found = self.client.get(key(name))
        return None if found is None else str(found)

    def note_ends(self, name: str) -> float:
        """Return for how many more seconds the note stands; 0 if there is none."""
        left: int = self.client.pttl(key(name))
        return max(0.0, left / 1000)

    def drop_note(self, name: str) -> None:
        """Remove a note."""
        self.client.delete(key(name))

    def count_up(self, name: str, seconds: float) -> int:
        """Add one to a counter that is forgotten `seconds` after its last change."""
        pipe = self.client.pipeline()
        pipe.incr(key(name))
        pipe.pexpire(key(name), int(seconds * 1000))
        return int(pipe.execute()[0])

    def _ensure_loaded(self, script: Any) -> None:
        # A pipeline cannot repair a missing script on its own, as after a restart.
        if not self.client.script_exists(script.sha)[0]:
            self.client.script_load(script.script)

    @staticmethod
    def _parsed(members: Iterable[str]) -> list[Visit]:
        return [Visit.parse(member) for member in members]


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
