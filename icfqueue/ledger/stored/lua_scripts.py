"""The ledger's Lua scripts: each is one atomic step on the server.

Times are the server's own, in milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import redis

NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
"""The beginning of scripts that need the time: ``now``, in milliseconds, and ``clock``."""

# KEYS[i]: layout. ARGV[j]: the layout that the client knows. A script that meets what
# cannot be ours says so before it writes anything: icfqueue/ledger/stored/mending.py.
_LAYOUT = """
local layout = redis.pcall('GET', KEYS[{0}])
if layout then
  if type(layout) == 'table' or #layout > 6 or string.find(layout, '[^0-9]') then
    return redis.error_reply('SPOILT ' .. KEYS[{0}])
  end
  if (tonumber(layout) or 0) > tonumber(ARGV[{1}]) then
    return redis.error_reply('NEWERLAYOUT ' .. layout)
  end
end
"""

# KEYS[i]: id of the store. ARGV[j]: that of the client, if it has one. After the broker's
# data were lost it is noted again.
_STORE = """
if ARGV[{1}] ~= '' then
  local store = redis.pcall('GET', KEYS[{0}])
  if store and store ~= ARGV[{1}] then
    if type(store) == 'table' or #store ~= 32 or string.find(store, '[^0-9a-f]') then
      return redis.error_reply('SPOILT ' .. KEYS[{0}])
    end
    return redis.error_reply('OTHERSTORE ' .. store)
  end
end
"""

MAKE = """
local function make(changes)
  for _, change in ipairs(changes) do
    for i, word in ipairs(change) do
      if type(word) == 'table' then change[i] = string.format('%d', now + word.ms) end
    end
    redis.call(unpack(change))
  end
end
"""
"""Makes changes of indexes, as COMMIT has them; stands after :data:`NOW`."""

# All of them can be made, or none is.
_SOUND = """
local kinds = {
  SADD = 'set', SREM = 'set', ZADD = 'zset', ZREM = 'zset', HDEL = 'hash', HINCRBY = 'hash'
}
local function spoilt(changes)
  for _, change in ipairs(changes) do
    local kind = redis.call('TYPE', change[2]).ok
    if kind ~= 'none' and kind ~= kinds[change[1]] then return change[2] end
    if change[1] == 'HINCRBY' then
      local sum = redis.call('HMGET', change[2], change[3])[1] or '0'
      if #sum > 17 or not string.find(sum, '^%-?[0-9]+$') then return change[2] end
    end
  end
end
"""

# ARGV[6]: changes of indexes as JSON.
_CHANGES = """
local changes = cjson.decode(ARGV[6])
local strange = spoilt(changes)
if strange then return redis.error_reply('SPOILT ' .. strange) end
"""

# KEYS: record, leases, layout, store, events. ARGV: version expected, "1" if the lease
# must have run out, visit, record, token, changes of indexes as JSON: lists of command,
# key, arguments, where {"ms": n} stands for the time in n milliseconds; a word for this
# write, by which it knows itself if the answer was lost with the connection and the
# client asks again; the word of the write that was read, for versions begin anew when a
# broker's data were lost or taken from a backup; the record's second part; the layout
# that the client knows; the id of its store; an event, if there is one to tell, and how
# many are kept.
COMMIT = (
    NOW
    + _LAYOUT.format(3, 10)
    + _STORE.format(4, 11)
    + MAKE
    + _SOUND
    + """
local there = redis.call('HMGET', KEYS[1], 'v', 'w')
if (there[1] or '0') ~= ARGV[1] or (ARGV[8] ~= '' and there[2] ~= ARGV[8]) then
  return there[2] == ARGV[7] and 1 or 0
end
if ARGV[2] == '1' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
end
"""
    + _CHANGES
    + """
if ARGV[11] ~= '' then redis.call('SETNX', KEYS[4], ARGV[11]) end
local version = (tonumber(there[1]) or 0) + 1
redis.call('HSET', KEYS[1], 'v', version, 't', ARGV[5], 'r', ARGV[4], 'w', ARGV[7])
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[1], 'm', ARGV[9])
elseif there[1] then
  redis.call('HDEL', KEYS[1], 'm')
end
make(changes)
-- Who may not write them, or has no memory left, writes the record all the same.
if ARGV[12] ~= '' then
  redis.pcall('XADD', KEYS[5], 'MAXLEN', '~', ARGV[13], '*', 'e', ARGV[12])
end
return 1
"""
)

# KEYS: record, leases, layout, projects, then the sets of the project's visits by state.
# ARGV: version expected, word of the write that was read, visit, "1" if a lease that has
# not run out is no obstacle, project, commands as in COMMIT, keys that go with the last
# visit of the project as JSON, sorted set of catalogs, the layout that the client knows.
FORGET = (
    NOW
    + _LAYOUT.format(3, 9)
    + MAKE
    + _SOUND
    + """
local there = redis.pcall('HMGET', KEYS[1], 'v', 'w')
local version = there.err and '0' or there[1] or '0'
if version ~= ARGV[1] or (ARGV[2] ~= '' and there[2] ~= ARGV[2]) then return 0 end
if ARGV[4] ~= '1' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[3])
  if ends and tonumber(ends) > now then return 0 end
end
"""
    + _CHANGES
    + """
make(changes)
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
    NOW
    + _LAYOUT.format(2, 2)
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
    NOW
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
    NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + ARGV[1], 'LIMIT', 0, ARGV[2])
"""
)

# ARGV: milliseconds of a lease. A lease, or a lock, that ends later than anybody could
# have set it is of a time when this server's clock was ahead: who holds it renews it every
# second, who vanished shall not be waited for until the clock has caught up.
CUT_LEASES = (
    NOW
    + """
local far = string.format('(%d', now + 2 * ARGV[1] + 60000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], far, '+inf')
local ends = string.format('%d', now + ARGV[1])
for _, member in ipairs(found) do redis.call('ZADD', KEYS[1], ends, member) end
return #found
"""
)

# KEYS: sorted sets of times to come. ARGV: milliseconds. Move all of them.
SHIFT = """
for _, name in ipairs(KEYS) do
  for _, member in ipairs(redis.call('ZRANGE', name, 0, -1)) do
    redis.call('ZINCRBY', name, ARGV[1], member)
  end
end
"""

# ARGV: token, milliseconds, the longest that anybody takes it for, 0 if that is not known.
# Take a lock, or renew it if it is ours; 2 if it was no lock. One without an end was taken
# by none of us, and gets one.
LOCK = """
local holder = redis.pcall('GET', KEYS[1])
if type(holder) ~= 'table' and holder and holder ~= ARGV[1] then
  local longest, left = tonumber(ARGV[3]), redis.call('PTTL', KEYS[1])
  if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  elseif longest > 0 and left > longest then
    redis.call('PEXPIRE', KEYS[1], longest)
  end
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return type(holder) == 'table' and 2 or 1
"""

# ARGV: token, milliseconds. Renew a lock; one that was lost is not taken again, for
# somebody else may have had it meanwhile.
RENEW_LOCK = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

UNLOCK = """
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: flush, ready set. ARGV: project, ms. Forget the flush if nobody is ready.
FLUSHED = (
    NOW
    + """
if redis.call('SCARD', KEYS[2]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) return 1 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 0
"""
)

# KEYS: sorted set. ARGV: member, ms from now. Move the time of a member that is there.
DELAY = (
    NOW
    + """
return redis.call('ZADD', KEYS[1], 'XX', 'CH', now + ARGV[2], ARGV[1])
"""
)

# KEYS: hash of promises, visit to "<end in ms> <bytes> <token>". ARGV: visit, token,
# bytes, free bytes, ms. Sweeps what has ended. Bytes stay below 2^53, exact in Lua.
PROMISE = (
    NOW
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
    NOW
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
