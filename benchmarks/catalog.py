"""``update_catalog`` through the queue, against one bulk ``catalog_add``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.commands import server, wait_for, worker
from benchmarks.measure import Facts, Row, Side, mid, row_of, timed
from benchmarks.scale import Scale

RATIO_MOST = 3.0
GROWTH_MOST = 1.3
WORKERS = 2
WARM = 10
"""Visits whose pages are there before: the site is made once, not for each visit."""

PORTIONS = 10


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    sizes = (100, scale.of(200, 500), scale.of(300, 1_000))
    ours: dict[int, list[Facts]] = {size: [] for size in sizes}
    theirs: dict[int, list[Facts]] = {size: [] for size in sizes}
    for _ in range(min(3, scale.repeat)):
        for size in sizes:
            ours[size].append(Side("catalog:through_the_queue", {"visits": size}).run())
            theirs[size].append(Side("catalog:bulk_add", {"visits": size}).run())
    seconds = {}
    for size in sizes:
        case = f"update_catalog, {size:,} visits of one study, through the queue"
        row = row_of(case, ours[size], theirs[size], "one bulk catalog_add")
        assert row.ours
        assert row.reference
        seconds[size] = row.ours
        row.facts["ms_a_visit"] = round(row.ours / size * 1000, 2)
        ratio = row.ours / row.reference
        most = RATIO_MOST if size == sizes[-1] else None
        yield row.judge(ratio, f"{ratio:.2f} x its time", most=most, unit=" x")
    yield _slopes(sizes, seconds)
    whole = mid(ours[sizes[-1]], "until_all_done_seconds")
    text = f"{whole / sizes[-1] * 1000:.1f} ms a visit"
    case = f"update_catalog and cleanup, until all {sizes[-1]:,} visits are done"
    yield Row(case, ours=whole, figure_text=text)


def _slopes(sizes: tuple[int, int, int], seconds: dict[int, float]) -> Row:
    """Compare what a further visit costs in a large study with that in a small one.

    The slopes leave out what a study costs however many visits it has.
    """
    few, some, many = sizes
    early = (seconds[some] - seconds[few]) / (some - few) * 1000
    late = (seconds[many] - seconds[some]) / (many - some) * 1000
    row = Row(
        f"update_catalog, a further visit, {few:,}-{some:,} → {some:,}-{many:,}",
        ours=round(late, 3),
        reference=round(early, 3),
        against=f"{few:,} to {some:,} visits",
        unit="ms",
    )
    text = f"{early:.2f} → {late:.2f} ms"
    return row.judge(late / early, text, most=GROWTH_MOST, unit=" x")


# Sides


def through_the_queue(visits: int) -> Facts:
    """From the moment the first visit is ready for the catalog until all pages are there.

    Two ``icfqueue worker`` are up and idle. The visits stand as a busy fleet leaves them:
    all steps up to the deposit done. They come in ten portions, each with a message, a
    new one as soon as the last is being written. The site and a few pages are there.
    """
    from icfqueue.core.steps import UPDATE_CATALOG
    from icfqueue.ledger.record import State

    facts: Facts = {}
    project = inputs.PROJECT
    with inputs.workspace() as store, server(store) as ledger:
        warm, *portions = _portions(_ready(store, WARM + visits), visits)

        def done() -> int:
            return int(ledger.counts(project)[State.DONE])

        def ready() -> int:
            return int(ledger.ready_count(project, UPDATE_CATALOG.name))

        def hand_over(part: list[Any]) -> None:
            ledger.put_many([(None, record) for record in part])
            _flush(store, ledger)

        with worker(store, 1), worker(store, 1):
            wait_for(lambda: len(ledger.workers()) >= WORKERS, 30)
            hand_over(warm)
            wait_for(lambda: done() == WARM, 30)
            with timed(facts):
                for part in portions:
                    hand_over(part)
                    wait_for(lambda: not ready(), 120, 0.005)
                wait_for(lambda: _listed(store) == WARM + visits, 120, 0.05)
            left = wait_for(lambda: done() == WARM + visits, 120)
            facts["until_all_done_seconds"] = round(facts["seconds"] + left, 3)
    return facts


def _portions(records: list[Any], visits: int) -> Iterator[list[Any]]:
    yield records[:WARM]
    size = max(1, visits // PORTIONS)
    for start in range(WARM, len(records), size):
        yield records[start : start + size]


def _listed(store: Path) -> int:
    from icfqueue.catalog import study
    from icfqueue.store.directory import Store

    return len(study.listed(Store(store), inputs.PROJECT, inputs.STORE_URL))


def _flush(store: Path, ledger: Any) -> None:
    """Do what the worker does that deposits the last visit of a project."""
    from icfqueue.broker.celery_app import make_app
    from icfqueue.broker.embedded import EmbeddedServer
    from icfqueue.pipeline.catalog_schedule import send_flush
    from icfqueue.pipeline.messages import Messages

    broker = EmbeddedServer(store).broker
    send_flush(ledger, Messages(make_app(broker), ledger), inputs.PROJECT)


def _ready(store: Path, visits: int) -> list[Any]:
    """Return records of visits that wait for the catalog; their metadata are there."""
    from dataclasses import replace

    from icfqueue.core.options import Options
    from icfqueue.core.visit import Visit
    from icfqueue.ledger import record
    from icfqueue.ledger.record import State, StepRecord

    found = []
    done = StepRecord(State.DONE, attempts=1, seconds=0.01, worker="bench:0")
    for number in range(visits):
        name = f"v{number:06d}"
        inputs.write_metadata(store / inputs.PROJECT, name, inputs.records(3, number))
        visit = Visit(inputs.PROJECT, name)
        # There are no deposits, and what is compared has no such thing.
        options = Options(inputs.STORE_URL, superdataset=False)
        made = record.new(visit, options, 0, time.time())
        steps = (*[done] * 4, StepRecord(State.QUEUED), StepRecord())
        found.append(replace(made, steps=steps, tar_bytes=1 << 20, dicoms=3))
    return found


def bulk_add(visits: int) -> Facts:
    """Make the same pages by datalad-catalog: one ``catalog_add`` of JSON lines.

    What the records say, and the catalog without pages, is made beforehand.
    """
    import warnings

    warnings.simplefilter("ignore")
    import datalad.api as dl

    facts: Facts = {}
    quiet = {"result_renderer": "disabled"}
    with inputs.workspace() as root:
        where = {name: str(root / name) for name in ("warm", "catalog")}
        for catalog in where.values():
            dl.catalog_create(catalog=catalog, **quiet)
        few = str(_lines(root, 1))
        dl.catalog_add(catalog=where["warm"], metadata=few, **quiet)
        lines = str(_lines(root, visits))
        with timed(facts):
            dl.catalog_add(catalog=where["catalog"], metadata=lines, **quiet)
    return facts


def _lines(root: Path, visits: int) -> Path:
    from icfqueue.catalog import pages, summary
    from icfqueue.core.visit import Visit
    from icfqueue.outputs import ids
    from icfqueue.outputs.metadata_files import TarballMeta

    entries, lines = [], []
    for number in range(visits):
        visit = Visit(inputs.PROJECT, f"v{number:06d}")
        tarball = TarballMeta(1 << 20, "0" * 32, visit.dspath, visit.storepath)
        told = summary.summarize(visit, tarball, inputs.records(3, number))
        dataset_id = str(ids.dataset_id(inputs.STORE_URL, visit))
        lines.append(json.dumps(pages.visit_record(told, dataset_id, inputs.STORE_URL)))
        entries.append(pages.study_entry(told, dataset_id))
    study = pages.study_id(inputs.STORE_URL, inputs.PROJECT)
    lines.append(json.dumps(pages.study_record(inputs.PROJECT, study, entries)))
    target = root / f"records-{visits}.jsonl"
    target.write_text("\n".join(lines) + "\n")
    return target
