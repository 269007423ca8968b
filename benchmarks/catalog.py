"""``update_catalog`` through the queue, against one bulk ``catalog_add``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.commands import server, wait_for, worker
from benchmarks.measure import Facts, Row, Side, compare, timed
from benchmarks.scale import Scale

RATIO_MOST = 3.0
GROWTH_MOST = 1.3
WORKERS = 2


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    few, many = 100, scale.of(300, 1_000)
    found = {}
    for visits in (few, many):
        row = compare(
            f"update_catalog, {visits:,} visits of one study, through the queue",
            Side("catalog:through_the_queue", {"visits": visits}),
            Side("catalog:bulk_add", {"visits": visits}),
            "one bulk catalog_add",
            repeat=min(3, scale.repeat),
        )
        assert row.ours
        assert row.reference
        ratio = row.ours / row.reference
        row.facts["ms_a_visit"] = round(row.ours / visits * 1000, 2)
        most = RATIO_MOST if visits == many else None
        yield row.judge(ratio, f"{ratio:.2f} x its time", most=most, unit=" x")
        found[visits] = row
    first, last = found[few].facts["ms_a_visit"], found[many].facts["ms_a_visit"]
    flat = Row(f"update_catalog, cost of a visit, {few} → {many:,}", ours=last, unit="ms")
    flat.reference, flat.against = first, f"{few} visits"
    text = f"{first:.2f} → {last:.2f} ms"
    yield flat.judge(last / first, text, most=GROWTH_MOST, unit=" x")


# Sides


def through_the_queue(visits: int) -> Facts:
    """From the moment the visits are ready for the catalog until all are done.

    Workers are up and idle. The visits stand as a busy fleet leaves them: all steps up
    to the deposit done. They come in ten portions, while the first are written.
    """
    from icfqueue.record import State

    facts: Facts = {}
    with inputs.workspace() as store, server(store) as ledger:
        records = _ready(store, visits)
        with worker(store, WORKERS):
            wait_for(lambda: len(ledger.workers()) >= 1, 30)
            time.sleep(1.0)
            with timed(facts):
                portion = max(1, visits // 10)
                for start in range(0, visits, portion):
                    part = records[start : start + portion]
                    ledger.put_many([(None, record) for record in part])
                _flush(store, ledger)
                project = inputs.PROJECT
                wait_for(lambda: ledger.ready_count(project, "update_catalog") == 0, 120)
                wait_for(lambda: _listed(store) == visits, 120)
            done = wait_for(lambda: ledger.counts(project)[State.DONE] == visits, 120)
            facts["until_all_done_seconds"] = round(facts["seconds"] + done, 3)
    return facts


def _listed(store: Path) -> int:
    from icfqueue import catalog
    from icfqueue.store import Store

    return len(catalog.listed(Store(store), inputs.PROJECT, inputs.STORE_URL))


def _flush(store: Path, ledger: Any) -> None:
    """Do what the worker does that deposits the last visit of a project."""
    from icfqueue.embedded import EmbeddedServer
    from icfqueue.flush import send_flush
    from icfqueue.queue import Messages, make_app

    broker = EmbeddedServer(store).broker
    send_flush(ledger, Messages(make_app(broker), ledger), inputs.PROJECT)


def _ready(store: Path, visits: int) -> list[Any]:
    """Return records of visits that wait for the catalog; their metadata are there."""
    from dataclasses import replace

    from icfqueue import record
    from icfqueue.job import Options
    from icfqueue.record import State, StepRecord
    from icfqueue.visit import Visit

    found = []
    done = StepRecord(State.DONE, attempts=1, seconds=0.01, worker="bench:0")
    for number in range(visits):
        name = f"v{number:06d}"
        inputs.write_metadata(store / inputs.PROJECT, name, inputs.records(3, number))
        visit, options = Visit(inputs.PROJECT, name), Options(inputs.STORE_URL)
        made = record.new(visit, options, 0, time.time())
        steps = (*[done] * 4, StepRecord(State.QUEUED), StepRecord())
        found.append(replace(made, steps=steps, tar_bytes=1 << 20, dicoms=3))
    return found


def bulk_add(visits: int) -> Facts:
    """Make the same pages by datalad-catalog: one ``catalog_add`` of JSON lines.

    What the records say is made beforehand and is not measured.
    """
    import warnings

    warnings.simplefilter("ignore")
    import datalad.api as dl

    facts: Facts = {}
    with inputs.workspace() as root:
        lines = _lines(root, visits)
        quiet = {"result_renderer": "disabled"}
        with timed(facts):
            dl.catalog_create(catalog=str(root / "catalog"), **quiet)
            dl.catalog_add(catalog=str(root / "catalog"), metadata=str(lines), **quiet)
    return facts


def _lines(root: Path, visits: int) -> Path:
    from icfqueue import dataset, deposit
    from icfqueue.catalog import page
    from icfqueue.visit import Visit

    entries, lines = [], []
    for number in range(visits):
        visit = Visit(inputs.PROJECT, f"v{number:06d}")
        summary = page.summarize(visit, 1 << 20, inputs.records(3, number))
        dataset_id = str(dataset.dataset_id(inputs.STORE_URL, visit))
        url = deposit.clone_url(inputs.STORE_URL, visit)
        lines.append(json.dumps(page.visit_record(summary, dataset_id, url)))
        entries.append(page.study_entry(summary, dataset_id))
    study = page.study_id(inputs.STORE_URL, inputs.PROJECT)
    lines.append(json.dumps(page.study_record(inputs.PROJECT, study, entries)))
    target = root / "records.jsonl"
    target.write_text("\n".join(lines) + "\n")
    return target
