"""The superdataset: all visits of a large project at once, and then one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import inputs
from benchmarks.measure import Facts, Row, Side, row_of, timed
from benchmarks.scale import Scale

SECONDS_MOST = 10.0
GROWTH_MOST = 1.3
KILOBYTES_MOST = 4.0


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    visits, further = scale.of(4_000, 40_000), scale.of(10, 60)
    side = Side("superdataset:grow", {"visits": visits, "further": further})
    runs = [side.run() for _ in range(min(3, scale.repeat))]
    row = row_of(f"superdataset of {visits:,} visits, made anew", runs)
    assert row.ours
    yield row.judge(row.ours, f"{row.ours:.1f} s", most=SECONDS_MOST, unit=" s")
    first, last = (median(run[which] for run in runs) for which in ("first", "last"))
    tenth = max(1, further // 10)
    row = Row(
        f"superdataset of {visits:,} visits, a further one, the last {tenth} of {further}",
        ours=round(last, 3),
        reference=round(first, 3),
        against=f"the first {tenth}",
    )
    text = f"{first:.2f} → {last:.2f} s"
    yield row.judge(last / first, text, most=GROWTH_MOST, unit=" x")
    grown = median(run["bytes_a_visit"] for run in runs) / 1000
    row = Row(f"superdataset of {visits:,} visits, room for a further one")
    text = f"{grown:.1f} kB, in {runs[0]['megabytes']:.1f} MB"
    yield row.judge(grown, text, most=KILOBYTES_MOST, unit=" kB")


def grow(visits: int, further: int) -> Facts:
    """Renew the superdataset for all visits at once, then for each of some more."""
    from icfqueue.core.visit import Visit
    from icfqueue.dataset.superdataset import renewal
    from icfqueue.outputs.deposit import EXPORT
    from icfqueue.store.directory import Store

    facts: Facts = {}
    with inputs.workspace() as root:
        store = Store(root)
        for number in range(visits):
            _deposit(store, Visit(inputs.PROJECT, f"visit_{number:06d}"))
        export = root / inputs.PROJECT / EXPORT

        def renew(*named: Any) -> None:
            renewal.renew(store, inputs.PROJECT, named or None, inputs.STORE_URL)

        with timed(facts):
            renew()
        before = export.stat().st_size
        seconds = []
        for number in range(further):
            # Among the others, as visits of many subjects come.
            visit = Visit(inputs.PROJECT, f"visit_{number * 97:06d}_2")
            _deposit(store, visit)
            began = time.perf_counter()
            renew(visit)
            seconds.append(time.perf_counter() - began)
        tenth = max(1, further // 10)
        facts["first"] = round(median(seconds[:tenth]), 3)
        facts["last"] = round(median(seconds[-tenth:]), 3)
        facts["megabytes"] = round(export.stat().st_size / 1e6, 2)
        facts["bytes_a_visit"] = round((export.stat().st_size - before) / further)
    return facts


def _deposit(store: Any, visit: Any) -> Path:
    """Write both files of a deposit, without a repository in it."""
    import hashlib
    import json
    import zipfile
    from dataclasses import asdict

    from icfqueue.outputs import deposit

    folder: Path = store.project_dir(visit.project)
    folder.mkdir(exist_ok=True)
    commit = hashlib.sha1(visit.id.encode(), usedforsecurity=False).hexdigest()
    url = f"{inputs.STORE_URL}/{visit.storepath}"
    source = deposit.Source(url, "0" * 32, 1, 1_700_000_000, "0" * 32, 1)
    with zipfile.ZipFile(folder / visit.repo_export, "w") as export:
        export.comment = json.dumps({"icfqueue": asdict(source)}).encode()
        export.writestr("packed-refs", f"{commit} {deposit.HEAD}\n")
    refs = folder / visit.refs
    refs.write_bytes(deposit.refs_text({deposit.HEAD: commit}))
    return refs
