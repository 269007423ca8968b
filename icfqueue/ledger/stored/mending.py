"""Keys mended that hold what cannot be ours, and the indexes made anew from the records.

A key of another type than :data:`icfqueue.ledger.keys.KINDS` has it, or with a text that
means nothing, is removed: nothing of ours is in it, and it would stop everybody. What
follows from the records is made anew from them: the sets of projects and visits, leases,
what is due, lines, turns, catalogs to be written, and the sums of each project. The rest
comes by itself: progress and promised room with the next heartbeat, workers with their
next sign of life, notes and locks when they are needed.

The visits are found by their records' names (``SCAN``). Where the broker's user has no
right to that, those are made anew that another index still names, and all others by
``icfqueue reconcile``, which knows them from the store directory.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import NAMES, QUEUES
from icfqueue.core.visit import Visit, is_id
from icfqueue.ledger.keys import FROM_RECORDS, KINDS, PREFIX, SPOILT, key, visit_key
from icfqueue.ledger.ledger import BATCH, Entry
from icfqueue.ledger.record import State
from icfqueue.ledger.stored.indexes import anew, line_of
from icfqueue.ledger.stored.lua_scripts import LOCK, MAKE, NOW, UNLOCK, Script, run_many
from icfqueue.ledger.stored.spoilt import say

if TYPE_CHECKING:
    import redis

    from icfqueue.ledger.stored.record_table import RecordTable

LEASE = 30.0
"""Seconds that a running visit's lease is good for when it is made anew: who holds it
renews it every second, with the length that its settings have."""

ROUNDS = 5
"""How often a visit is looked at again that changed while its indexes were made anew."""

_HOLDS = 5.0
"""Seconds after which another may make the indexes anew if whoever does it vanished."""

_ENDLESS = 3.0
"""Seconds after which a lock ends that had no end; its holder renews it every second."""

# KEYS: names. ARGV: the note to leave, if any, then for each name its type, then
# milliseconds that a lock without an end is left. Removes what is of another type or holds
# what cannot be ours; returns names and why.
_SWEEP = (
    NOW
    + """
local function strange(name, kind)
  if string.find(name, '^icfqueue:totals:') or string.find(name, '^icfqueue:tally:') then
    for i, sum in ipairs(redis.call('HGETALL', name)) do
      if i % 2 == 0 and (#sum > 17 or not string.find(sum, '^%-?[0-9]+$')) then
        return 'a sum in it is no number'
      end
    end
  elseif name == 'icfqueue:layout' then
    local found = redis.call('GET', name)
    if #found > 6 or string.find(found, '[^0-9]') then return 'it is no number' end
  elseif name == 'icfqueue:store' then
    local found = redis.call('GET', name)
    if #found ~= 32 or string.find(found, '[^0-9a-f]') then return 'it is no id' end
  end
end
local found = {}
for i, name in ipairs(KEYS) do
  local kind, why = redis.call('TYPE', name).ok, nil
  if kind ~= 'none' then
    if kind ~= ARGV[i + 1] then
      why = 'it is a ' .. kind .. ' and no ' .. ARGV[i + 1]
    else
      why = strange(name, kind)
      if string.find(name, '^icfqueue:lock:') and redis.call('PTTL', name) < 0 then
        redis.call('PEXPIRE', name, ARGV[#ARGV])
      end
    end
  end
  if why then
    if ARGV[1] ~= '' then redis.call('SET', ARGV[1], clock[1] .. '.' .. clock[2]) end
    redis.call('DEL', name)
    found[#found + 1] = {name, why}
  end
end
return found
"""
)

# KEYS: record. ARGV: its version and word as they were read, changes as COMMIT has them.
_ANEW = (
    NOW
    + MAKE
    + """
local there = redis.pcall('HMGET', KEYS[1], 'v', 'w')
if there.err or there[1] ~= ARGV[1] or (there[2] or '') ~= ARGV[2] then return 0 end
make(cjson.decode(ARGV[3]))
return 1
"""
)

# ARGV: cursor, pattern. Within a script, for a user without the right to it is no error.
_NAMED = """
local found = redis.pcall('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
if found.err then return {'refused', {}} end
return found
"""


def names_of(project: str) -> dict[str, str]:
    """Return the names of a project's keys but its records', each with its type."""
    names = [key(name, project) for name in ("totals", "tally", "progress")]
    names += [key(name, project) for name in ("hold", "refused")]
    names += [key("batch", project), key("lock", "catalog", project)]
    names += [key("in", project, state) for state in State]
    names += [key("ready", project, name) for name in NAMES]
    names += [line_of((queue, level), project) for queue in QUEUES for level in LEVELS]
    return {name: kind_of(name) for name in names}


def names_of_all() -> dict[str, str]:
    """Return the names of the keys of no project, each with its type."""
    single = ("layout", "store", "projects", "leases", "due", "flush", "room")
    names = [key(name) for name in (*single, "workers", "signs", "events")]
    names += [SPOILT, key("rest", "disk"), key("lock", "supervisor"), key("lock", "mend")]
    names += [key("sent", queue) for queue in QUEUES]
    names += [key("turn", queue, str(level)) for queue in QUEUES for level in LEVELS]
    return {name: kind_of(name) for name in names}


def kind_of(name: str) -> str:
    """Return the type of the key called `name`."""
    return KINDS[_first(name)]


def _first(name: str) -> str:
    return name.removeprefix(PREFIX).partition(":")[0]


class Mender:
    """Mends the keys of one broker.

    Parameters
    ----------
    client
        A connection whose replies are text.
    table
        Reads the records.
    flush_after
        Seconds after which a catalog is written.
    """

    def __init__(self, client: redis.Redis, table: RecordTable, flush_after: float) -> None:
        self._client: Any = client
        self._table = table
        self._flush_after = flush_after
        self._sweep_script = Script(client, _SWEEP)
        self._anew = Script(client, _ANEW)
        self._named = Script(client, _NAMED)
        self._lock = Script(client, LOCK)
        self._unlock = Script(client, UNLOCK)

    def unfinished(self) -> bool:
        """Tell whether an index was removed, and nobody is at making all anew."""
        held = self._client.get(key("lock", "mend"))
        return not held and self._client.get(SPOILT) is not None

    def mend(self, also: Iterable[Visit] = (), *, met: bool = True) -> None:
        """Remove what cannot be ours, and make anew what follows from the records.

        Parameters
        ----------
        also
            Visits whose indexes are made anew in any case.
        met
            A spoilt key was met: it is looked for in projects, too, that are in no set.
        """
        self._sweep(names_of_all())
        known = self._projects()
        removed = [self._sweep(names_of(project)) for project in known]
        if met and not any(removed):
            # Or it is a key of a project that is not, or no more, in the set of them.
            for project in {visit.project for visit in self._recorded()} - {*known}:
                self._sweep(names_of(project))
        also = set(also)
        token = secrets.token_hex(8)
        try:
            held = self._index_all(also, token)
        finally:
            # Others leave all to the holder: if it fails, they are not to wait for its end.
            self._unlock(keys=[key("lock", "mend")], args=[token])
        if not held:
            self._index(also, "")

    def _index_all(self, also: Iterable[Visit], token: str) -> bool:
        """Make all anew if an index was removed and nobody else does; tell if it did."""
        held = False
        # Whoever spoils keys without end is not to keep a worker from all else.
        for _ in range(ROUNDS):
            mark = self._client.get(SPOILT)
            if mark is None or not self._hold(token):
                break
            held = True
            self._index({*self._all(), *also}, token)
            # Unless more was removed meanwhile, which others leave to the holder.
            self._unlock(keys=[SPOILT], args=[mark])
        return held

    def _hold(self, token: str) -> bool:
        """Be the one who makes indexes anew, or go on being it."""
        args = [token, int(_HOLDS * 1000), int(_HOLDS * 1000)]
        return bool(self._lock(keys=[key("lock", "mend")], args=args))

    def _sweep(self, names: Mapping[str, str]) -> int:
        """Remove those of `names` that are not ours, say so, and return how many."""
        removed = 0
        indexes = {n: kind for n, kind in names.items() if _first(n) in FROM_RECORDS}
        others = {n: kind for n, kind in names.items() if n not in indexes}
        for note, part in ((SPOILT, indexes), ("", others)):
            args = [note, *part.values(), int(_ENDLESS * 1000)]
            for name, why in self._sweep_script(keys=list(part), args=args):
                removed += 1
                more = "; it is made anew from the records" if note else ""
                say(name, f"{why}; removed{more}")
        return removed

    def _projects(self) -> list[str]:
        found = self._client.smembers(key("projects"))
        return sorted(name for name in found if is_id(name))

    def _recorded(self) -> set[Visit]:
        """Return every visit that has a record; none without the right to look."""
        found: set[Visit] = set()
        cursor, start = "0", key("visit", "")
        while True:
            cursor, names = self._named(keys=[], args=[cursor, f"{start}*"])
            found |= _visits(name.removeprefix(start) for name in names)
            if cursor in {"0", "refused"}:
                return found

    def _all(self) -> set[Visit]:
        """Return every visit that has a record, or stands in an index."""
        found = self._recorded()
        self._sweep(names_of_all())
        for name in ("leases", "due", *(f"sent:{queue}" for queue in QUEUES)):
            found |= _visits(self._client.zrangebyscore(key(name), "-inf", "+inf"))
        for project in {*self._projects(), *(visit.project for visit in found)}:
            self._sweep(names_of(project))
            sets = [key("in", project, state) for state in State]
            sets += [key("ready", project, name) for name in NAMES]
            for name in sets:
                found |= set(members_of(self._client, name, project))
        return found

    def _index(self, visits: Iterable[Visit], token: str) -> None:
        """Have `visits` stand in every index in which they must, and in no other."""
        left = sorted(visits)
        projects = sorted({visit.project for visit in left})
        for _ in range(ROUNDS):
            changed: list[Visit] = []
            for start in range(0, len(left), BATCH):
                if token:
                    self._hold(token)
                changed += self._index_batch(left[start : start + BATCH])
            left = changed
        for project in projects:
            if not self._table.recount(project, partial(self._known, project)):
                where = key("totals", project)
                say(where, "too busy to count; 'icfqueue reconcile' does when it is quiet")

    def _known(self, project: str) -> list[Visit]:
        """Return the visits of a project, as they are at one moment."""
        pipe = self._client.pipeline()
        for state in State:
            pipe.smembers(key("in", project, state))
        names = set[str]().union(*pipe.execute())
        return [visit for name in sorted(names) if (visit := Visit.named(project, name))]

    def _index_batch(self, visits: list[Visit]) -> list[Visit]:
        """Do that for some; return those that somebody changed meanwhile."""
        calls, asked = [], []
        for visit, entry in zip(visits, self._table.read(visits), strict=True):
            if entry is None:
                # A stranger's, or of a record that was removed meanwhile.
                self._table.forget(visit, None, force=False)
            if not isinstance(entry, Entry):
                continue
            commands = anew(
                entry.record,
                lease=LEASE,
                flush_after=self._flush_after,
                now=self._table.now() if entry.record.due is not None else 0.0,
            )
            text = json.dumps(commands, default=asdict)
            calls.append(([visit_key(visit)], [entry.version, entry.word, text]))
            asked.append(visit)
        answers = run_many(self._client, self._anew, calls) if calls else []
        return [v for v, answer in zip(asked, answers, strict=True) if not answer]


def members_of(client: Any, name: str, project: str) -> list[Visit]:
    """Return the visits in a set of a project; whatever cannot be one is removed."""
    found = {member: Visit.named(project, member) for member in client.smembers(name)}
    if strange := [member for member, visit in found.items() if visit is None]:
        say(name, "a member is no visit; removed")
        client.srem(name, *strange)
    return [visit for visit in found.values() if visit]


def _visits(names: Iterable[str]) -> set[Visit]:
    found = (Visit.read(name) for name in names)
    return {visit for visit in found if visit}
