"""Records in Redis, read and written: each change of one is one Lua script.

It first compares what the change was made from, and keeps every index in step.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import redis

from icfqueue.core.errors import NewerLayout, OtherStore, UnreadableRecord
from icfqueue.core.visit import Visit
from icfqueue.ledger.keys import LAYOUT, key, visit_key
from icfqueue.ledger.ledger import BATCH, Entry, Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.ledger.stored import lua_scripts
from icfqueue.ledger.stored.clock import ServerClock
from icfqueue.ledger.stored.indexes import changes, gone, totals
from icfqueue.ledger.stored.lua_scripts import Script, run_many
from icfqueue.ledger.stored.spoilt import mended, number, read
from icfqueue.ledger.telling import events

RECOUNTS = 5
"""How often sums are made again because a visit added to them meanwhile."""

FIELDS = ("v", "w", "r", "m")
"""Fields of a visit's hash, in the order in which :func:`entry_of` takes them."""


class RecordTable:
    """The records of one broker.

    Parameters
    ----------
    client
        A connection whose replies are text.
    flush_after
        Seconds after which the first visit that waits for its study page is written.
    clock
        By which records have their times.
    """

    def __init__(self, client: redis.Redis, flush_after: float, clock: ServerClock) -> None:
        self._client: Any = client
        self._flush_after = flush_after
        self._commit = Script(client, lua_scripts.COMMIT)
        self._forget = Script(client, lua_scripts.FORGET)
        self._clock = clock
        self.store_id = ""
        """Id of the store whose visits this client works on, once it is known."""
        self.mend_keys: Callable[[], None] = lambda: None
        """Mends spoilt keys; see :mod:`icfqueue.ledger.stored.mending`."""

    def mend(self) -> None:
        """Have spoilt keys mended."""
        self.mend_keys()

    def now(self) -> float:
        """Return the time that records have, in seconds since 1970."""
        return self._clock.now()

    def check_layout(self) -> None:
        """Raise if the broker's data have a layout that only a newer icfqueue knows.

        Raises
        ------
        NewerLayout
            They have.
        """
        found = read(self._client, key("layout"), number)
        if found and found > LAYOUT:
            raise _newer(str(found))

    def read(self, visits: Iterable[Visit]) -> Iterator[Entry | Unreadable | None]:
        """Yield the records of `visits`, in their order."""
        for chunk in chunks(list(visits)):
            pipe = self._client.pipeline(transaction=False)
            for visit in chunk:
                pipe.hmget(visit_key(visit), *FIELDS)
            for visit, found in zip(chunk, pipe.execute(raise_on_error=False), strict=True):
                yield entry_of(visit, found)

    def write(
        self,
        pairs: Sequence[tuple[Entry | None, Record]],
        *,
        lease: float = 0.0,
        orphan: bool = False,
    ) -> list[Entry | None]:
        """Write records, each in one atomic step.

        Parameters
        ----------
        pairs, lease, orphan
            As for :meth:`icfqueue.ledger.ledger.Ledger.put_many`.

        Returns
        -------
        list of Entry or None
            What is there now; None if somebody else changed it meanwhile.

        Raises
        ------
        NewerLayout
            Nothing may be written by this release.
        OtherStore
            Or by whoever has another store.
        """
        written: list[Entry | None] = []
        for chunk in chunks(pairs):
            calls, after = [], []
            for entry, record in chunk:
                before = entry or Entry(record, "0")
                made = before.after(record, secrets.token_hex(4))
                keys = [
                    visit_key(record.visit),
                    *(key(name) for name in ("leases", "layout", "store", "events")),
                ]
                calls.append((keys, self._arguments(entry, made, lease, orphan=orphan)))
                after.append(made)
            answers = self._run(calls)
            written += [
                made if answer else None
                for made, answer in zip(after, answers, strict=True)
            ]
        return written

    def _arguments(
        self, entry: Entry | None, made: Entry, lease: float, *, orphan: bool
    ) -> list[str]:
        """Return the arguments with which :data:`lua_scripts.COMMIT` writes `made`."""
        record = made.record
        commands = changes(
            entry.record if entry else None,
            record,
            lease=lease,
            flush_after=self._flush_after,
            # Asks the server only if there is something to compare with.
            now=self._clock.now() if record.due is not None else 0.0,
        )
        return [
            entry.version if entry else "0",
            "1" if orphan else "0",
            str(record.visit),
            record.to_json(),
            record.token,
            json.dumps(commands, default=asdict),
            made.word,
            entry.word if entry else "",
            record.more_json(made.version),
            str(LAYOUT),
            self.store_id,
            events.as_text(events.between(entry.record if entry else None, record)),
            str(events.KEPT),
        ]

    @mended
    def forget(
        self, visit: Visit, found: Entry | Unreadable | None, *, force: bool
    ) -> bool:
        """Remove a record; see :meth:`icfqueue.ledger.ledger.Ledger.forget`."""
        record = found.record if isinstance(found, Entry) else None
        project = visit.project
        # First what a server without memory refuses, so that all is done or nothing.
        commands = [
            ["HINCRBY", key("totals", project), field, str(-amount)]
            for field, amount in totals(record).items()
            if amount
        ]
        commands += gone(visit)
        known = [key(name, project) for name in ("totals", "tally", "progress", "hold")]
        with layout_compared():
            done = self._forget(
                keys=[
                    visit_key(visit),
                    key("leases"),
                    key("layout"),
                    key("projects"),
                    *(key("in", project, state) for state in State),
                ],
                args=[
                    found.version if found else "0",
                    found.word if isinstance(found, Entry) else "",
                    str(visit),
                    "1" if force else "0",
                    project,
                    json.dumps(commands),
                    json.dumps(known),
                    key("flush"),
                    str(LAYOUT),
                ],
            )
        return bool(done)

    def recount(self, project: str, visits: Callable[[], Sequence[Visit]]) -> bool:
        """Make the sums of a project anew; False if it is too busy for that.

        Parameters
        ----------
        visits
            Returns those of the project. Called once it is noticed if sums change.
        """
        where = key("totals", project)
        pipe = self._client.pipeline()
        for _ in range(RECOUNTS):
            with pipe:
                pipe.watch(where)
                sums = totals(None)
                for entry in self.read(visits()):
                    if isinstance(entry, Entry):
                        for field, amount in totals(entry.record).items():
                            sums[field] += amount
                pipe.multi()
                pipe.hset(where, mapping=sums)
                with suppress(redis.WatchError):
                    pipe.execute()
                    return True
        return False

    @mended
    def _run(self, calls: Sequence[tuple[list[str], list[str]]]) -> list[Any]:
        with layout_compared():
            return list(run_many(self._client, self._commit, calls))


@contextmanager
def layout_compared() -> Iterator[None]:
    """Raise an error of ours where a script says that it met a newer layout or the like."""
    try:
        yield
    except redis.ResponseError as error:
        kind, _, word = str(error).partition(" ")
        if kind == "OTHERSTORE":
            raise OtherStore(f"this broker works for the store {word[:8]}…") from None
        if kind != "NEWERLAYOUT":
            raise
        raise _newer(word) from None


def _newer(layout: str) -> NewerLayout:
    return NewerLayout(
        f"a newer icfqueue works with this broker (layout {layout}, known here: {LAYOUT})",
        hint="update icfqueue on this machine",
    )


def entry_of(visit: Visit, found: Any) -> Entry | Unreadable | None:
    """Return the record in :data:`FIELDS` of a visit, or what they are instead of one."""
    if isinstance(found, redis.ResponseError):
        return Unreadable(visit, "0", "it is no hash")
    if isinstance(found, Exception):
        raise found
    version, word, text, more = found
    if not text:
        return Unreadable(visit, version, "it has no text") if version else None
    if not (version or "").isdecimal():
        return Unreadable(visit, version or "0", "it has no version")
    try:
        record = Record.from_json(text, visit, more, version)
    except UnreadableRecord as error:
        return Unreadable(visit, version, error.message, error.hint)
    return Entry(record, version, word or "")


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield `items` in parts of :data:`BATCH`."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
