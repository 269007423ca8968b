"""A run as it was once seen: what the ledger held, look by look, to be looked at again.

A recording is made by ``python -m support.recorded_run`` (in ``tests/``) while a run goes
on. It has JSON lines, one a look: seconds, bytes that running steps have moved, bytes that
are to come of downloads, and the records that have changed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from icfqueue.core.options import Options
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record, State, StepRecord
from icfqueue.ledger.stored.indexes import totals

PROJECT = "study_1"
OPTIONS = Options("https://data.example.org")


def record(ledger: Any, looks: Iterable[object]) -> Iterator[str]:
    """Yield a line of a recording for each of `looks` at a ledger."""
    began, seen, workers = ledger.now(), {}, {}
    for _ in looks:
        to_come, moved = ledger.room.promised(), ledger.progress(PROJECT)
        line: dict[str, Any] = {"t": round(ledger.now() - began, 2)}
        if moved:
            line["moved"] = {name: two[0] for name, two in moved.items()}
        if to_come:
            line["to_come"] = {name.partition("/")[2]: n for name, n in to_come.items()}
        changed = {}
        for one in ledger.records(PROJECT):
            told = _told(one, began, workers)
            if seen.get(one.visit.id) != told:
                seen[one.visit.id] = changed[one.visit.id] = told
        if changed:
            line["visits"] = changed
        yield json.dumps(line)


def _told(one: Record, began: float, workers: dict[str, str]) -> dict[str, Any]:
    """Return what is recorded of a visit; workers are called by numbers."""
    steps = [
        [
            step.state,
            step.attempts,
            step.seconds and round(step.seconds, 3),
            step.worker and workers.setdefault(step.worker, f"host:{len(workers) + 1}"),
        ]
        for step in one.steps
        if step.state != "pending"
    ]
    told: dict[str, Any] = {"steps": steps}
    if one.tar_bytes is not None:
        told["bytes"] = one.tar_bytes
    for name in ("began", "due"):
        if (moment := getattr(one, name)) is not None:
            told[name] = round(moment - began, 2)
    if one.error:
        told["error"] = one.error["type"]
    return told


class RecordedRun:
    """Plays a recording; stands in for the ledger of that run.

    Parameters
    ----------
    path
        The recording.
    """

    def __init__(self, path: Path) -> None:
        self.looks = [json.loads(line) for line in path.read_text().splitlines()]
        self.time = 0.0
        self._records: dict[str, Record] = {}
        self._look: dict[str, Any] = {}

    @property
    def end(self) -> float:
        """When the last visit was done."""
        return max(look["t"] for look in self.looks if "visits" in look)

    @property
    def sizes(self) -> dict[Visit, int]:
        """Return the bytes of each tarball, as the store's listing would tell them."""
        told = [one for look in self.looks for one in look.get("visits", {}).items()]
        return {Visit(PROJECT, name): one["bytes"] for name, one in told if "bytes" in one}

    def play(self) -> Iterator[float]:
        """Set the time to that of each look, and yield it."""
        for look in self.looks:
            self._look = look
            self.time = self._look["t"]
            for name, told in self._look.get("visits", {}).items():
                self._records[name] = _record(name, told)
            yield self.time

    # What an observer asks

    @property
    def room(self) -> RecordedRun:
        return self

    @property
    def roster(self) -> RecordedRun:
        return self

    def now(self) -> float:
        return self.time

    def signs(self) -> list[Any]:
        return []

    def promised(self) -> dict[str, int]:
        to_come = self._look.get("to_come", {})
        return {f"{PROJECT}/{name}": left for name, left in to_come.items()}

    def progress(self, _: str) -> dict[str, tuple[int, int]]:
        return {name: (moved, 0) for name, moved in self._look.get("moved", {}).items()}

    def visits(self, _: str, states: Iterable[State] = State) -> list[Visit]:
        wanted = set(states)
        return [one.visit for one in self._records.values() if one.state in wanted]

    def get_many(self, visits: Iterable[Visit]) -> list[Entry]:
        return [Entry(self._records[visit.id], "") for visit in visits]

    def ready(self, _: str, step: str) -> list[Visit]:
        queued = [one for one in self._records.values() if one.state == State.QUEUED]
        return [one.visit for one in queued if one.step == step]

    def on_the_way(self, project: str) -> tuple[dict[State, int], dict[str, int]]:
        counts = {state: len(self.visits(project, [state])) for state in State}
        return counts, {name: len(self.ready(project, name)) for name in NAMES}

    def totals(self, _: str) -> dict[str, int]:
        sums = [totals(one) for one in self._records.values()]
        return {name: sum(one[name] for one in sums) for name in totals(None)}


def _record(name: str, told: dict[str, Any]) -> Record:
    steps = [
        StepRecord(state, attempts, seconds=seconds, worker=worker)
        for state, attempts, seconds, worker in told["steps"]
    ]
    steps += [StepRecord()] * (len(NAMES) - len(steps))
    error = {"type": told["error"], "message": ""} if "error" in told else None
    return Record(
        Visit(PROJECT, name),
        OPTIONS,
        steps=tuple(steps),
        began=told.get("began"),
        due=told.get("due"),
        tar_bytes=told.get("bytes"),
        error=error,
    )


def main(broker: str, every: str) -> None:
    """Write a recording of what the ledger of a broker holds to standard output."""
    from icfqueue.cli.session import session

    def looks() -> Iterator[None]:
        while True:
            yield
            time.sleep(float(every))

    with session({"broker": broker}, asking=True) as opened:
        for line in record(opened.ledger, looks()):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
