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

# KEYS: record, leases, layout. ARGV: version expected, "1" if the lease must have run out,
# visit, record, token, changes of indexes as JSON: [[command, key, argument...]...], where
# {"ms": n} stands for the time in n milliseconds; a word for this write, by which it knows
# itself if the answer was lost with the connection and the client asks again; the word
# of the write that was read, for versions begin anew when a broker's data were lost or
# taken from a backup; the record's second part; the layout that the client knows.
COMMIT = (
    _NOW
    + """
local layout = redis.call('GET', KEYS[3])
if layout and tonumber(layout) > tonumber(ARGV[10]) then
  return redis.error_reply('NEWERLAYOUT ' .. layout)
end
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
