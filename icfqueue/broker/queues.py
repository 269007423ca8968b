"""What lies in the queues, as Celery's transport keeps them in Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from icfqueue.broker import envelope
from icfqueue.broker.aside import Aside
from icfqueue.broker.celery_app import SEPARATOR
from icfqueue.core.priority import LEVELS
from icfqueue.core.steps import QUEUES
from icfqueue.ledger.stored.lua_scripts import Script

if TYPE_CHECKING:
    import redis

# KEYS: list. ARGV: from, to, bytes. How many there are, and those of them that can be
# messages of ours; others may be large, or no text at all.
_PAGE = """
if redis.call('TYPE', KEYS[1]).ok ~= 'list' then return {0, {}} end
local found = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2])
local ours = {}
for _, one in ipairs(found) do
  if #one <= tonumber(ARGV[3]) and not one:find('[\\128-\\255]') then
    ours[#ours + 1] = one
  end
end
return {#found, ours}
"""

_aside = Aside()


class Queues:
    """The queues of one broker, looked at; no message is taken or changed.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._page = Script(client, _PAGE)

    def depth(self, queue: str) -> int:
        """Return how many messages wait in `queue`."""
        pipe = self._client.pipeline(transaction=False)
        for name in lists(queue):
            pipe.llen(name)
        sizes = pipe.execute(raise_on_error=False)
        for size in sizes:
            if isinstance(size, Exception) and "WRONGTYPE" not in str(size):
                raise size
        if any(isinstance(size, Exception) for size in sizes):
            self.mend()
        return sum(size for size in sizes if isinstance(size, int))

    def mend(self) -> None:
        """Put aside what bears the name of a queue and is no list."""
        mend(self._client)

    def waiting(self, queue: str) -> Iterator[str]:
        """Yield ``project/visit`` of every message of ours that waits in `queue`.

        Reads the whole queue, a thousand messages at a time; only asked for when the
        numbers do not add up.
        """
        for name in lists(queue):
            start = 0
            while True:
                count, messages = self._page(
                    keys=[name], args=[start, start + 999, envelope.LARGEST]
                )
                for message in messages:
                    # What somebody else put there is no visit's.
                    with suppress(envelope.Unreadable):
                        yield envelope.subject(message.encode(), queue)
                if not count:
                    break
                start += count


def mend(client: Any) -> None:
    """Put aside what bears the name of a queue and is no list.

    A server refuses to read or to write it, so it would stop everybody.
    """
    for name in (name for queue in QUEUES for name in lists(queue)):
        found = client.type(name)
        kind = found.decode() if isinstance(found, bytes) else str(found)
        if kind not in {"list", "none"}:
            queue = name.partition(SEPARATOR)[0]
            _aside.put(client, queue, b"", f"its key is a {kind} and no list")
            client.delete(name)


def lists(queue: str) -> list[str]:
    """Return the Redis lists that make up `queue`, one for each priority."""
    return [queue, *(f"{queue}{SEPARATOR}{level}" for level in LEVELS[1:])]
