"""Whose turn it is: queued visits by queue, urgency and project, and who is served next.

There is a message for each queued visit, and messages of one queue and level lie in one
list, in the order in which they were sent. Taken at its word, the list would have one
project wait for all visits of another. So a message is a ticket: whoever draws it serves
the visit whose turn it is at that queue and level. Projects take turns; of a project the
visit is served that the ticket names, or one that has waited much longer: its own ticket
is lost, or lies with a worker that is busy.

That a ticket is lost is then a matter of counting: there must be as many in the list as
visits have waited for a while. It takes no longer where many wait.

Workers of the release before serve the visit that a message names. They keep the sorted
set ``sent:<queue>``, which stands in every layout, but not the lines; so what they queue
is served by its own message, and is put in its line by the supervisor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import SPOILT, key, visit_key
from icfqueue.ledger.ledger import BATCH, Entry
from icfqueue.ledger.record import Record
from icfqueue.ledger.stored.indexes import line_of, place_of
from icfqueue.ledger.stored.lua_scripts import NOW, Script, run_many
from icfqueue.ledger.stored.record_table import FIELDS, RecordTable, entry_of
from icfqueue.ledger.stored.spoilt import mended

if TYPE_CHECKING:
    import redis

TRIES = 20
"""Visits that are looked at for one ticket, before it is dropped."""

Place = tuple[str, int]
"""A queue and a level of urgency; 0 is served first."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What counting the tickets of a queue tells.

    Attributes
    ----------
    late
        Visits that have waited for long, as many as tickets are missing.
    strays
        How many visits stand in no line, as a worker of the release before leaves them.
    """

    late: list[Visit]
    strays: int


class Turns(Protocol):
    """Who is served next, and whose ticket is missing."""

    def served(self, place: Place, visit: Visit, patience: float) -> Iterator[Entry]:
        """Yield whose turn it is at `place`, for a ticket that names `visit`.

        Whoever can do nothing with it, because somebody was faster, asks for the next.

        Parameters
        ----------
        place
            Where the ticket lay.
        patience
            Seconds by which another visit must have waited longer to come first.
        """

    def leave(self, place: Place, visit: Visit) -> None:
        """Take `visit` out of a line in which it does not belong."""

    def count(self, queue: str, lists: Collection[str], age: float) -> Counted:
        """Compare the tickets of `queue` with its visits that have waited `age` seconds.

        Parameters
        ----------
        lists
            The Redis lists of the queue's tickets, by level.
        """

    def sent(self, records: Iterable[Record]) -> None:
        """Note that tickets were sent just now."""

    def adopt(self, queue: str, start: int) -> int:
        """Put in line what a worker of the release before has queued.

        Parameters
        ----------
        start
            Where to go on: what the last call returned, at first 0.

        Returns
        -------
        int
            Where the next call goes on; 0 if nothing is left to be looked at.
        """


# A line may be that of a project which nobody knows: what bears its name and is none goes.
_LINE = f"""
local function check(line)
  local kind = redis.call('TYPE', line).ok
  if kind ~= 'none' and kind ~= 'zset' then
    redis.call('DEL', line)
    redis.call('SET', '{SPOILT}', clock[1] .. '.' .. clock[2])
  end
end
"""

# KEYS: turns, line of the project that a ticket names, record of its visit. ARGV: start of
# the keys of lines, of records, project and visit that the ticket names (no visit: it was
# looked at already), milliseconds by which another must have waited longer to come before
# it, fields of a record. Returns the fields of that visit if it stands in no line; then
# project, visit and fields of who is to be served, which goes to the end of its line, so
# that two who ask at once get two.
_TURN = (
    NOW
    + _LINE
    + """
local fields = {unpack(ARGV, 6)}
local function oldest(project)
  local line = ARGV[1] .. project
  while true do
    check(line)
    local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local token = redis.pcall('HGET', ARGV[2] .. project .. '/' .. first[1], 't')
    if token == '' then return first[1], tonumber(first[2]) end
    redis.call('ZREM', line, first[1])
  end
end
local own, mine = false, false
if ARGV[4] ~= '' then
  check(KEYS[2])
  mine = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if not mine then own = redis.pcall('HMGET', KEYS[3], unpack(fields)) end
end
while true do
  local project = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not project then return {own} end
  local name, since = oldest(project)
  if name then
    redis.call('ZADD', KEYS[1], string.format('%d', clock[1] * 1000000 + clock[2]), project)
    if project == ARGV[3] and mine and tonumber(mine) - since < tonumber(ARGV[5]) then
      name = ARGV[4]
    else
      -- Behind those of this very millisecond, too.
      redis.call('ZADD', ARGV[1] .. project, string.format('%d', now + 1), name)
    end
    local record = ARGV[2] .. project .. '/' .. name
    return {own, project, name, redis.call('HMGET', record, unpack(fields))}
  end
  redis.call('ZREM', KEYS[1], project)
end
"""
)

# KEYS: set of a queue's messages, then the lists of its tickets, by level. ARGV: start of
# the keys of turns, of lines, milliseconds that a visit must have waited, how many at most.
# Returns how many visits stand in no line; then, where fewer tickets lie than visits have
# waited that long, those that have waited longest.
_MISSING = (
    NOW
    + _LINE
    + """
local before = string.format('%d', now - ARGV[3])
-- Of a time when this server's clock was ahead.
local ahead = string.format('%d', now + 60000)
local left = tonumber(ARGV[4])
local found = {}
local strays = redis.call('ZCARD', KEYS[1])
for level = 0, #KEYS - 2 do
  local projects = redis.call('ZRANGE', ARGV[1] .. level, 0, -1)
  local late = 0
  for _, project in ipairs(projects) do
    local line = ARGV[2] .. level .. ':' .. project
    check(line)
    late = late + redis.call('ZCOUNT', line, '-inf', before)
    late = late + redis.call('ZCOUNT', line, ahead, '+inf')
    strays = strays - redis.call('ZCARD', line)
  end
  local need = 0
  if late > 0 then need = math.min(left, late - redis.call('LLEN', KEYS[level + 2])) end
  for _, project in ipairs(projects) do
    if need <= 0 then break end
    local line = ARGV[2] .. level .. ':' .. project
    local names = redis.call('ZRANGEBYSCORE', line, '-inf', before, 'LIMIT', 0, need)
    if #names == 0 then
      names = redis.call('ZRANGEBYSCORE', line, ahead, '+inf', 'LIMIT', 0, need)
    end
    for _, name in ipairs(names) do found[#found + 1] = project .. '/' .. name end
    need = need - #names
    left = left - #names
  end
end
return {strays, found}
"""
)

# KEYS: line, set of the queue's messages. ARGV: member of either. A message was sent now.
_SENT = (
    NOW
    + """
local time = string.format('%d', now)
redis.call('ZADD', KEYS[1], 'XX', time, ARGV[1])
return redis.call('ZADD', KEYS[2], 'XX', time, ARGV[2])
"""
)


class RedisTurns:
    """Lines and turns in Redis."""

    def __init__(self, client: redis.Redis, table: RecordTable) -> None:
        self._client: Any = client
        self._table = table
        self._turn = Script(client, _TURN)
        self._missing = Script(client, _MISSING)
        self._sent = Script(client, _SENT)

    def mend(self) -> None:
        """Have spoilt keys mended."""
        self._table.mend()

    def served(self, place: Place, visit: Visit, patience: float) -> Iterator[Entry]:
        """Yield whose turn it is at `place`, for a ticket that names `visit`."""
        name = visit.id
        for _ in range(TRIES):
            own, *chosen = self._draw(place, visit, name, patience)
            # One in no line: a worker of the release before queued it, or it was served.
            found = entry_of(visit, own) if own else None
            if isinstance(found, Entry) and place_of(found.record) == place:
                yield found
            name = ""
            if not chosen:
                return
            subject = Visit.named(chosen[0], chosen[1])
            found = entry_of(subject, chosen[2]) if subject else None
            if isinstance(found, Entry) and place_of(found.record) == place:
                yield found
            else:
                self._client.zrem(line_of(place, chosen[0]), chosen[1])

    @mended
    def _draw(self, place: Place, visit: Visit, name: str, patience: float) -> list[Any]:
        """Ask whose turn it is; see :data:`_TURN`."""
        return list(
            self._turn(
                keys=[
                    key("turn", place[0], str(place[1])),
                    line_of(place, visit.project),
                    visit_key(visit),
                ],
                args=[
                    line_of(place, ""),
                    key("visit", ""),
                    visit.project,
                    name,
                    int(patience * 1000),
                    *FIELDS,
                ],
            )
        )

    @mended
    def leave(self, place: Place, visit: Visit) -> None:
        """Take `visit` out of a line in which it does not belong."""
        self._client.zrem(line_of(place, visit.project), visit.id)

    @mended
    def count(self, queue: str, lists: Collection[str], age: float) -> Counted:
        """Compare the tickets of `queue` with its visits that have waited `age` seconds."""
        strays, found = self._missing(
            keys=[key("sent", queue), *lists],
            args=[
                key("turn", queue, ""),
                key("line", queue, ""),
                int(age * 1000),
                BATCH,
            ],
        )
        named = (Visit.read(member) for member in found)
        return Counted([visit for visit in named if visit], strays)

    @mended
    def sent(self, records: Iterable[Record]) -> None:
        """Note that tickets were sent just now."""
        calls = []
        for record in records:
            place = place_of(record)
            if place is None:
                continue
            keys = [line_of(place, record.visit.project), key("sent", place[0])]
            calls.append((keys, [record.visit.id, str(record.visit)]))
        if calls:
            run_many(self._client, self._sent, calls)

    @mended
    def adopt(self, queue: str, start: int) -> int:
        """Put in line what a worker of the release before has queued."""
        where = key("sent", queue)
        found = self._client.zrange(where, start, start + BATCH - 1, withscores=True)
        named = [(Visit.read(m), score) for m, score in found]
        scores = {visit: score for visit, score in named if visit}
        pipe = self._client.pipeline(transaction=False)
        for visit, entry in zip(scores, self._table.read(scores), strict=True):
            place = place_of(entry.record) if isinstance(entry, Entry) else None
            if place and place[0] == queue:
                pipe.zadd(line_of(place, visit.project), {visit.id: scores[visit]}, nx=True)
                pipe.zadd(key("turn", queue, str(place[1])), {visit.project: 0}, nx=True)
        if len(pipe):
            pipe.execute()
        return start + len(found) if found else 0
