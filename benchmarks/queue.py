"""Ten or a hundred thousand visits: enqueueing, asking, the first result, memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import inputs
from benchmarks.commands import call, server, used_memory, wait_for, worker
from benchmarks.measure import Facts, Row, Side, mid
from benchmarks.scale import Scale

ENQUEUE_MOST = 10.0
FIRST_MOST = 5.0
COUNTS_MOST = 0.5
JSON_MOST = 3.0
BYTES_MOST = 6_000
INDEPENDENT_MOST = 1.1
FEW = 100


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module; targets are those for 10,000 visits."""
    yield from _rows_of(scale.of(1_000, 10_000), scale, usual=True)
    if scale.full:
        yield from _rows_of(100_000, scale, usual=False)


def _rows_of(visits: int, scale: Scale, *, usual: bool) -> Iterator[Row]:
    """Yield the rows of one number of visits.

    Parameters
    ----------
    usual
        It is the number that all targets are about.
    """
    again = min(3, scale.repeat) if usual and not scale.quick else 1
    runs = [Side("queue:whole", {"visits": visits}).run() for _ in range(again)]
    by_file = Side("queue:by_file", {"visits": visits}).run()
    asked = Side("queue:counts_in_turn", {"visits": visits}).run()
    name = f"{visits:,} visits"

    def row(case: str, fact: str, most: float | None = None) -> Row:
        seconds = mid(runs, fact)
        made = Row(f"{case}, {name}", ours=seconds, facts=dict(runs[-1]))
        made.samples["ours"] = [run[fact] for run in runs]
        made.peak_mb = max(run["peak_mb"] for run in runs)
        return made.judge(seconds, f"{seconds:.2f} s", most=most, unit=" s")

    yield row("enqueue of tarballs", "enqueue_seconds", ENQUEUE_MOST if usual else None)
    listed = Row(f"enqueue --visits-file, {name}", ours=by_file["enqueue_seconds"])
    text = f"{by_file['enqueue_seconds']:.2f} s"
    most = ENQUEUE_MOST if usual else None
    yield listed.judge(by_file["enqueue_seconds"], text, most=most, unit=" s")
    case = "first visit done after the first worker's start"
    yield row(case, "first_done_seconds", FIRST_MOST)
    yield from _counts(asked, visits)
    case = "status, counts, where the embedded server has to load its data first"
    yield row(case, "counts_after_start_seconds")
    case = "status PROJECT --format json, whole"
    yield row(case, "json_seconds", JSON_MOST if usual else None)
    each = mid(runs, "bytes_a_visit")
    memory = Row(f"Redis memory, {name} queued", ours=each, unit="B a visit")
    yield memory.judge(each, f"{each:,.0f} B a visit", most=BYTES_MOST, unit=" B")


def _counts(asked: Facts, visits: int) -> Iterator[Row]:
    """Yield how long the counts take, beside those of 100 visits."""
    ours, few = asked["seconds"], asked["few_seconds"]
    row = Row(f"status, counts, {visits:,} visits", ours=ours, reference=few)
    row.against = f"{FEW} visits, in turn"
    row.samples = {"ours": asked["samples"], "reference": asked["few_samples"]}
    yield row.judge(ours, f"{ours:.2f} s", most=COUNTS_MOST, unit=" s")
    more = Row(f"status, counts, {visits:,} visits instead of {FEW}", ours=ours)
    more.reference, more.against = few, row.against
    text = f"{(ours - few) * 1000:+.0f} ms"
    yield more.judge(ours / few, text, most=INDEPENDENT_MOST, unit=" x")


# Sides


def whole(visits: int) -> Facts:
    """Enqueue tarballs, ask, then start workers and wait for the first visit."""
    facts: Facts = {"visits": visits}
    with inputs.workspace() as store:
        inputs.small_visits(store / inputs.PROJECT, visits, 1, 3_000)
        facts |= _enqueue_and_ask(store)
        facts["first_done_seconds"] = _first_done(store)
    facts["seconds"] = facts["enqueue_seconds"]
    return facts


def by_file(visits: int) -> Facts:
    """Enqueue visits that a file names, without tarballs; nothing is worked on."""
    facts: Facts = {"visits": visits}
    with inputs.workspace() as store:
        facts["enqueue_seconds"] = _enqueue_names(store, visits)
    facts["seconds"] = facts["enqueue_seconds"]
    return facts


def counts_in_turn(visits: int) -> Facts:
    """Ask for the counts of a few and of many visits, in turn; both servers are up."""
    facts: Facts = {"visits": visits}
    with inputs.workspace() as many, inputs.workspace() as few, server(many), server(few):
        _enqueue_names(many, visits)
        _enqueue_names(few, FEW)
        for store in (many, few):
            call(store, "status")
        rounds = [(call(many, "status")[0], call(few, "status")[0]) for _ in range(9)]
    facts["samples"], facts["few_samples"] = map(list, zip(*rounds, strict=True))
    facts["seconds"] = median(facts["samples"])
    facts["few_seconds"] = median(facts["few_samples"])
    return facts


def _enqueue_names(store: Path, visits: int) -> float:
    folder = store / inputs.PROJECT
    folder.mkdir()
    names = store / "visits.txt"
    names.write_text("".join(f"v{n:06d}\n" for n in range(visits)))
    for number in range(visits):
        # Something of the visit is here, or the store on the web would be asked for it.
        (folder / f"v{number:06d}_metadata_references.json").touch()
    return call(store, "enqueue", inputs.PROJECT, "--visits-file", str(names))[0]


def _enqueue_and_ask(store: Path) -> Facts:
    facts: Facts = {}
    with server(store) as ledger:
        before = used_memory(ledger)
        facts["enqueue_seconds"], _ = call(store, "enqueue", inputs.PROJECT)
        visits = sum(ledger.counts(inputs.PROJECT).values())
        facts["bytes_a_visit"] = round((used_memory(ledger) - before) / visits)
        whole = [
            call(store, "status", inputs.PROJECT, "--format", "json")[0] for _ in range(3)
        ]
        facts["json_seconds"] = median(whole)
    # The same question when the server has to load its data first.
    cold = [call(store, "status")[0] for _ in range(3)]
    facts["counts_after_start_seconds"] = median(cold)
    return facts


def _first_done(store: Path) -> float:
    """Return the seconds from the start of the first worker to the first visit done."""
    from icfqueue.ledger.record import State

    with server(store) as ledger:
        began = time.perf_counter()
        with worker(store, 2):
            wait_for(lambda: ledger.counts(inputs.PROJECT)[State.DONE] > 0, 60)
            return round(time.perf_counter() - began, 3)
