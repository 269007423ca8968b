"""The ledger's Lua scripts: each is one atomic step on the server.

Times are the server's own, in milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# KEYS[i]: layout. ARGV[j]: the layout that the client knows.
_LAYOUT = """
local layout = redis.call('GET', KEYS[%d])
if layout and tonumber(layout) > tonumber(ARGV[%d]) then
  return redis.error_reply('NEWERLAYOUT ' .. layout)
end
"""

# KEYS[i]: id of the store. ARGV[j]: that of the client, if it has one. After the broker's
# data were lost it is noted again.
_STORE = """
if ARGV[%d] ~= '' then
  local store = redis.call('GET', KEYS[%d])
  if store and store ~= ARGV[%d] then
    return redis.error_reply('OTHERSTORE ' .. store)
  end
  if not store then redis.call('SET', KEYS[%d], ARGV[%d]) end
end
"""

# KEYS: record, leases, layout, store. ARGV: version expected, "1" if the lease must have
# run out, visit, record, token, changes of indexes as JSON: lists of command, key,
# arguments, where {"ms": n} stands for the time in n milliseconds; a word for this write,
# by which it knows itself if the answer was lost with the connection and the client asks
# again; the word of the write that was read, for versions begin anew when a broker's data
# were lost or taken from a backup; the record's second part; the layout that the client
# knows; the id of its store.
COMMIT = (
    _NOW
    + _LAYOUT % (3, 10)
    + _STORE % (11, 4, 11, 4, 11)
    + """
local there = redis.call('HMGET', KEYS[1], 'v', 'w')
if (there[1] or '0') ~= ARGV[1] or (ARGV[8] ~= '' and there[2] ~= ARGV[8]) then
  return there[2] == ARGV[7] and 1 or 0
end
if ARGV[2] == '1' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
end
local version = (tonumber(there[1]) or 0) + 1
redis.call('HSET', KEYS[1], 'v', version, 't', ARGV[5], 'r', ARGV[4], 'w', ARGV[7])
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[1], 'm', ARGV[9])
elseif there[1] then
  redis.call('HDEL', KEYS[1], 'm')
end
for _, change in ipairs(cjson.decode(ARGV[6])) do
  for i, word in ipairs(change) do
    if type(word) == 'table' then change[i] = string.format('%d', now + word.ms) end
  end
  redis.call(unpack(change))
end
return 1
"""
)

# KEYS: record, leases, layout, projects, then the sets of the project's visits by state.
# ARGV: version expected, word of the write that was read, visit, "1" if a lease that has
# not run out is no obstacle, project, commands as in COMMIT, keys that go with the last
# visit of the project as JSON, sorted set of catalogs, the layout that the client knows.
FORGET = (
    _NOW
    + _LAYOUT % (3, 9)
    + """
local there = redis.pcall('HMGET', KEYS[1], 'v', 'w')
local version = there.err and '0' or there[1] or '0'
if version ~= ARGV[1] or (ARGV[2] ~= '' and there[2] ~= ARGV[2]) then return 0 end
if ARGV[4] ~= '1' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
end
for _, change in ipairs(cjson.decode(ARGV[6])) do redis.call(unpack(change)) end
redis.call('DEL', KEYS[1])
for i = 5, #KEYS do
  if redis.call('SCARD', KEYS[i]) > 0 then return 1 end
end
redis.call('SREM', KEYS[4], ARGV[5])
redis.call('ZREM', ARGV[8], ARGV[5])
for _, name in ipairs(cjson.decode(ARGV[7])) do redis.call('DEL', name) end
return 1
"""
)

# KEYS: workers, layout. ARGV: worker, the layout that the client knows. In seconds, as
# older workers have it.
LIVES = (
    _NOW
    + _LAYOUT % (2, 2)
    + """
local seconds = clock[1] .. string.format('.%06d', clock[2])
return redis.call('ZADD', KEYS[1], seconds, ARGV[1])
"""
)

# KEYS: workers. ARGV: seconds for which a sign of life is believed. Older workers give
# their own clock's: what is far in the future is no better than what is long past.
WORKERS = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3600)
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 3600, '+inf')
return redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], now + ARGV[1])
"""

# KEYS: leases, then for each visit its record and its project's progress. ARGV: length
# of the leases in ms, progress, then for each visit token, visit, visit id. All or none.
# A holder that slept past the end of its lease has it as long as nobody took it away.
RENEW = (
    _NOW
    + """
local visits = (#KEYS - 1) / 2
for i = 1, visits do
  local token = redis.call('HGET', KEYS[2 * i], 't')
  if not token or token == '' or token ~= ARGV[3 * i] then return 0 end
end
for i = 1, visits do
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[3 * i + 1])
  redis.call('HSET', KEYS[2 * i + 1], ARGV[3 * i + 2], ARGV[2])
end
return 1
"""
)

# ARGV: milliseconds from now, how many.
PAST = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + ARGV[1], 'LIMIT', 0, ARGV[2])
"""
)

# KEYS: turns, line of the project that a ticket names, record of its visit. ARGV: start of
# the keys of lines, of records, project and visit that the ticket names (no visit: it was
# looked at already), milliseconds by which another must have waited longer to come before
# it, fields of a record. Returns the fields of that visit if it stands in no line; then
# project, visit and fields of who is to be served, which goes to the end of its line, so
# that two who ask at once get two.
TURN = (
    _NOW
    + """
local fields = {unpack(ARGV, 6)}
local function oldest(project)
  local line = ARGV[1] .. project
  while true do
    local first = redis.pcall('ZRANGE', line, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local token = redis.pcall('HGET', ARGV[2] .. project .. '/' .. first[1], 't')
    if token == '' then return first[1], tonumber(first[2]) end
    redis.call('ZREM', line, first[1])
  end
end
local own, mine = false, false
if ARGV[4] ~= '' then
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
MISSING = (
    _NOW
    + """
local before = string.format('%d', now - ARGV[3])
local left = tonumber(ARGV[4])
local found = {}
local strays = redis.call('ZCARD', KEYS[1])
for level = 0, #KEYS - 2 do
  local projects = redis.call('ZRANGE', ARGV[1] .. level, 0, -1)
  local late = 0
  for _, project in ipairs(projects) do
    local line = ARGV[2] .. level .. ':' .. project
    late = late + redis.call('ZCOUNT', line, '-inf', before)
    strays = strays - redis.call('ZCARD', line)
  end
  local need = 0
  if late > 0 then need = math.min(left, late - redis.call('LLEN', KEYS[level + 2])) end
  for _, project in ipairs(projects) do
    if need <= 0 then break end
    local line = ARGV[2] .. level .. ':' .. project
    local names = redis.call('ZRANGEBYSCORE', line, '-inf', before, 'LIMIT', 0, need)
    for _, name in ipairs(names) do found[#found + 1] = project .. '/' .. name end
    need = need - #names
    left = left - #names
  end
end
return {strays, found}
"""
)

# KEYS: line, set of the queue's messages. ARGV: member of either. A message was sent now.
SENT = (
    _NOW
    + """
local time = string.format('%d', now)
redis.call('ZADD', KEYS[1], 'XX', time, ARGV[1])
return redis.call('ZADD', KEYS[2], 'XX', time, ARGV[2])
"""
)

# ARGV: token, milliseconds. Take a lock, or renew it if it is ours.
LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

# ARGV: token, milliseconds. Renew a lock; one that was lost is not taken again, for
# somebody else may have had it meanwhile.
RENEW_LOCK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: flush, ready set. ARGV: project, ms. Forget the flush if nobody is ready.
FLUSHED = (
    _NOW
    + """
if redis.call('SCARD', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) return 1 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 0
"""
)

# KEYS: sorted set. ARGV: member, ms from now. Move the time of a member that is there.
DELAY = (
    _NOW
    + """
return redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[2], ARGV[1])
"""
)

# KEYS: hash of promises, visit to "<end in ms> <bytes> <token>". ARGV: visit, token,
# bytes, free bytes, ms. Sweeps what has ended. Bytes stay below 2^53, exact in Lua.
PROMISE = (
    _NOW
    + """
local others = 0
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local ends, bytes = string.match(found[i + 1], '^(%d+) (%d+) ')
  if not ends or tonumber(ends) <= now then
    redis.call('HDEL', KEYS[1], found[i])
  elseif found[i] ~= ARGV[1] then
    others = others + tonumber(bytes)
  end
end
local fits = tonumber(ARGV[3]) == 0 or others + tonumber(ARGV[3]) <= tonumber(ARGV[4])
if fits then
  local promise = string.format('%d %s %s', now + ARGV[5], ARGV[3], ARGV[2])
  redis.call('HSET', KEYS[1], ARGV[1], promise)
end
return {fits and 1 or 0, string.format('%.0f', others)}
"""
)

# ARGV: visit, token, bytes, ms. A promise that ended meanwhile is made again: its bytes
# are still to come. One with another token is the next holder's.
KEEP_PROMISE = (
    _NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and string.match(found, ' (%S+)$') ~= ARGV[2] then return 0 end
local promise = string.format('%d %s %s', now + ARGV[4], ARGV[3], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], promise)
return 1
"""
)

# ARGV: visit, token.
RELEASE = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and string.match(found, ' (%S+)$') == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
"""


class Script:
    """A script that is loaded when the server does not know it.

    redis-py does that too, but once: a server that dies after it was loaded and before
    it is called has forgotten it again.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        register: Callable[[str], Any] = client.register_script
        self._script = register(text)

    def __call__(self, *, keys: list[str], args: list[Any], client: Any = None) -> Any:
        for _ in range(_TRIES):
            with suppress(redis.exceptions.NoScriptError):
                return self._script(keys=keys, args=args, client=client)
        return self._script(keys=keys, args=args, client=client)


_TRIES = 10


def run_many(client: Any, script: Any, calls: Sequence[tuple[list[str], list[Any]]]) -> Any:
    """Run a script many times in one round trip; return the answers."""
    if len(calls) == 1:
        # A pipeline would first ask the server whether it has the script.
        keys, args = calls[0]
        return [script(keys=keys, args=args)]
    answers: list[Any] = [redis.exceptions.NoScriptError()] * len(calls)
    while missing := [
        place
        for place, answer in enumerate(answers)
        if isinstance(answer, redis.exceptions.NoScriptError)
    ]:
        # The pipeline loads the script, but a server that restarts in that moment
        # has forgotten it when the pipeline comes. What was answered stands.
        pipe = client.pipeline(transaction=False)
        for place in missing:
            keys, args = calls[place]
            script(keys=keys, args=args, client=pipe)
        found = pipe.execute(raise_on_error=False)
        for place, answer in zip(missing, found, strict=True):
            answers[place] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
