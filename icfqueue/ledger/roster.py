"""The roster: each worker's signs of life, with what it is and what it does.

A worker writes one field of a hash every few seconds, with the server's own time; who
reads leaves out what is too old to be believed, so nobody need tidy up behind a worker
that was killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from icfqueue.core.steps import EXPORT_REPO, UPDATE_CATALOG
from icfqueue.ledger.keys import key
from icfqueue.ledger.stored import spoilt
from icfqueue.ledger.stored.lua_scripts import NOW, Script
from icfqueue.ledger.stored.spoilt import mended

if TYPE_CHECKING:
    import redis

EVERY = 5.0
"""Seconds between two signs of a worker."""

BELIEVED = 30.0
"""Seconds after its last sign for which a worker is taken to live."""

WRITERS = {EXPORT_REPO.queue, UPDATE_CATALOG.queue}
"""Queues whose workers write datasets."""

SWEPT_AFTER = 3600.0
"""Seconds after which the last sign of a worker that vanished is removed."""


class JobSign(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of a worker is at.

    Attributes
    ----------
    visit
        Empty while a catalog is written for several visits.
    since
        Begin of the attempt, in seconds since 1970 by the server's clock.
    bytes
        What the step has dealt with.
    pid
        Process id.
    """

    project: str
    visit: str
    step: str
    since: float
    bytes: int = 0
    pid: int = 0


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's sign of life.

    Attributes
    ----------
    name
        ``host:pid`` of its main process; those of its children are in `jobs`.
    since
        Its start, in seconds since 1970 by the server's clock.
    seen
        When the server got this sign, by its own clock.
    processes
        How many visits it works on at once.
    queues
        Those that it serves.
    versions
        Of icfqueue, python, git, git-annex and datalad; a text is empty where one is not
        found, and the whole in a worker's first seconds.
    sample
        Hash of what it would write, by which workers that write datasets are compared
        (icfqueue/dataset/sample.py); empty of others, in its first seconds, and of those
        of older releases.
    glibc
        Version of the C library; empty where it is another.
    umask
        As octal digits.
    store_id, store_dir
        The store directory's id (icfqueue/store/identity.py) and its path there.
    disk_free, disk_total
        Bytes of its file system; None if it does not answer.
    clock
        The worker's own time when it sent this, in seconds since 1970.
    """

    name: str
    host: str
    pid: int
    since: float
    seen: float = 0.0
    processes: int = 1
    queues: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    sample: str = ""
    glibc: str = ""
    umask: str = ""
    store_id: str = ""
    store_dir: str = ""
    disk_free: int | None = None
    disk_total: int | None = None
    clock: float = 0.0
    jobs: tuple[JobSign, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether the worker writes datasets: those of visits, or those of projects."""
        return bool(WRITERS & set(self.queues))


class Roster(Protocol):
    """Which workers live, and what each does."""

    def say(self, sign: Sign, *, sweep: bool = False) -> None:
        """Write a worker's sign of life, in one round trip.

        Parameters
        ----------
        sweep
            Remove what workers left that vanished long ago.
        """

    def gone(self, name: str) -> None:
        """Remove the sign of a worker that stops."""

    def signs(self) -> list[Sign]:
        """Return the last sign of each worker that lives, by name; in one round trip."""


# KEYS: signs. ARGV: worker, its sign as JSON, milliseconds after which those of others are
# removed, 0 to leave them.
_SIGN = (
    NOW
    + """
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', now) .. ARGV[2])
if ARGV[3] == '0' then return 0 end
local gone = 0
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local seen = tonumber(string.match(found[i + 1], '^(%d+) ') or 0)
  if math.abs(now - seen) > tonumber(ARGV[3]) then
    gone = gone + redis.call('HDEL', KEYS[1], found[i])
  end
end
return gone
"""
)


class RedisRoster:
    """The roster in Redis.

    Parameters
    ----------
    client
        A connection whose replies are text (``decode_responses=True``).
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._where = key("signs")
        self._say = Script(client, _SIGN)

    def mend(self) -> None:
        """Forget all signs: what has their name is something else."""
        spoilt.drop(self._client, self._where, "it is no hash")

    @mended
    def say(self, sign: Sign, *, sweep: bool = False) -> None:
        """Write a worker's sign of life, in one round trip."""
        text = msgspec.json.encode(sign).decode()
        oldest = int(SWEPT_AFTER * 1000) if sweep else 0
        self._say(keys=[self._where], args=[sign.name, text, oldest])

    @mended
    def gone(self, name: str) -> None:
        """Remove the sign of a worker that stops."""
        self._client.hdel(self._where, name)

    @mended
    def signs(self) -> list[Sign]:
        """Return the last sign of each worker that lives, by name; in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(self._where)
        (seconds, micros), found = pipe.execute()
        now = seconds + micros / 1e6
        read = []
        for name, text in sorted(found.items()):
            sign = _read(text, name)
            if sign is None:
                spoilt.drop(self._client, self._where, "a sign means nothing", name)
            elif abs(now - sign.seen) <= BELIEVED:
                # Of a time when the server's clock was ahead is as old as any.
                read.append(sign)
        return read


def _read(text: str, name: str) -> Sign | None:
    """Return the sign that `text` is, ``<milliseconds> <JSON>``; None if it is none."""
    stamp, _, rest = text.partition(" ")
    seen = spoilt.number(stamp)
    try:
        sign = msgspec.json.decode(rest, type=Sign)
    except msgspec.MsgspecError:
        return None
    if seen is None or sign.name != name:
        return None
    return msgspec.structs.replace(sign, seen=seen / 1000)
