"""Ten or a hundred thousand visits: enqueueing, asking, the first result, memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import inputs
from benchmarks.commands import call, server, used_memory, wait_for, worker
from benchmarks.measure import Facts, Row, Side, environment
from benchmarks.scale import Scale

ENQUEUE_MOST = 10.0
FIRST_MOST = 5.0
COUNTS_MOST = 0.5
JSON_MOST = 3.0
BYTES_MOST = 6_000


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module; targets are those for 10,000 visits."""
    sizes = [scale.of(1_000, 10_000), *([100_000] if scale.full else [])]
    counts_of_few = Side("queue:ask", {"visits": 100}).run()["counts_seconds"]
    for visits in sizes:
        yield from _rows_of(visits, counts_of_few, target=visits <= 10_000)


def _rows_of(visits: int, counts_of_few: float, *, target: bool) -> Iterator[Row]:
    found = Side("queue:whole", {"visits": visits}).run()
    by_file = Side("queue:ask", {"visits": visits}).run()
    name = f"{visits:,} visits"

    def row(case: str, seconds: float, most: float, *, always: bool = False) -> Row:
        made = Row(f"{case}, {name}", ours=seconds, facts=dict(found))
        text = f"{seconds:.2f} s"
        return made.judge(seconds, text, most=most if target or always else None, unit=" s")

    yield row("enqueue of tarballs", found["enqueue_seconds"], ENQUEUE_MOST)
    yield row("enqueue --visits-file", by_file["enqueue_seconds"], ENQUEUE_MOST)
    first = found["first_done_seconds"]
    case = "first visit done after the first worker's start"
    yield row(case, first, FIRST_MOST, always=True)
    counts = row("status, counts", found["counts_seconds"], COUNTS_MOST, always=True)
    counts.reference, counts.against = counts_of_few, "100 visits"
    yield counts
    yield row("status PROJECT --format json, whole", found["json_seconds"], JSON_MOST)
    per_visit = found["bytes_a_visit"]
    memory = Row(f"Redis memory, {name} queued", ours=per_visit, unit="B a visit")
    yield memory.judge(per_visit, f"{per_visit:,.0f} B a visit", most=BYTES_MOST, unit=" B")


# Sides


def whole(visits: int) -> Facts:
    """Enqueue tarballs, ask, then start workers and wait for the first visit."""
    facts: Facts = {"visits": visits}
    with inputs.workspace() as store:
        inputs.small_visits(store / inputs.PROJECT, visits, 1, 3_000)
        facts |= _enqueue_and_ask(store, [])
        facts["first_done_seconds"] = _first_done(store)
    facts["seconds"] = facts["enqueue_seconds"]
    return facts


def ask(visits: int) -> Facts:
    """Do the same for visits that a file names, without tarballs; nothing is worked on."""
    facts: Facts = {"visits": visits}
    with inputs.workspace() as store:
        (store / inputs.PROJECT).mkdir()
        names = store / "visits.txt"
        names.write_text("".join(f"v{n:06d}\n" for n in range(visits)))
        facts |= _enqueue_and_ask(store, ["--visits-file", str(names)])
    facts["seconds"] = facts["enqueue_seconds"]
    return facts


def _enqueue_and_ask(store: Path, words: list[str]) -> Facts:
    facts: Facts = {}
    with server(store) as ledger:
        before = used_memory(ledger)
        facts["enqueue_seconds"], _ = call(store, "enqueue", inputs.PROJECT, *words)
        visits = sum(ledger.counts(inputs.PROJECT).values())
        facts["bytes_a_visit"] = round((used_memory(ledger) - before) / visits)
        counts = [call(store, "status")[0] for _ in range(5)]
        facts["counts_seconds"] = median(counts)
        whole = [
            call(store, "status", inputs.PROJECT, "--format", "json")[0] for _ in range(3)
        ]
        facts["json_seconds"] = median(whole)
    # The same question when the server has to load its data first.
    facts["counts_after_start_seconds"], _ = call(store, "status")
    return facts


def _first_done(store: Path) -> float:
    """Return the seconds from the start of the first worker to the first visit done."""
    from icfqueue.record import State

    environment()
    with server(store) as ledger:
        began = time.perf_counter()
        with worker(store, 2):
            wait_for(lambda: ledger.counts(inputs.PROJECT)[State.DONE] > 0, 60)
            return round(time.perf_counter() - began, 3)
