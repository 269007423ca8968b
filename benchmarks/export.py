"""``export_repo``: against git-annex's batch modes, against DataLad, and as visits grow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs, reference
from benchmarks.measure import Facts, Row, Side, against_slow, compare, row_of, timed
from benchmarks.scale import Scale

BATCH_LEAST = 60
RATE_LEAST = 4_000
DATALAD_LEAST = 150
GROWTH_MOST = 1.3
MEMORY_MOST = 500


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    yield from _against_batch_modes(scale)
    yield _against_datalad(scale)
    yield from _growth(scale)
    yield from _pack_settings(scale)


def _against_batch_modes(scale: Scale) -> Iterator[Row]:
    row = _against(scale, "functional", 300, "by_batch_modes", "git-annex batch modes")
    yield _faster(row, BATCH_LEAST)
    assert row.ours
    speed = row.facts["dicoms"] / row.ours
    rate = Row("export_repo, DICOM files a second", ours=round(speed), unit="/s")
    yield rate.judge(speed, f"{speed:,.0f}/s", least=RATE_LEAST)


def _against_datalad(scale: Scale) -> Row:
    what = "addurls + setpresentkey per file"
    return _faster(_against(scale, "structural", 12, "by_datalad", what), DATALAD_LEAST)


def _against(scale: Scale, kind: str, few: int, reference: str, what: str) -> Row:
    """Compare with a reference; a quick look does a `few` files of it."""
    tarball = str(inputs.tarball(kind))
    part = scale.of(few, inputs.SHAPES[kind][0])
    return against_slow(
        f"export_repo, {inputs.called(kind)}",
        Side("export:export", {"tarball": tarball}),
        Side(f"export:{reference}", {"tarball": tarball, "part": part}),
        what,
        scale,
    )


def _faster(row: Row, least: float) -> Row:
    """Judge how much faster all files are; of a part of them nothing is concluded."""
    files = row.facts["reference_files"]
    if files < row.facts["dicoms"]:
        row.against += f", {files} files only"
        return row
    return row.judge_faster(least)


def _growth(scale: Scale) -> Iterator[Row]:
    """Yield how the cost of a DICOM file grows, in rounds: the machine changes, too."""
    sizes = (1_000, 10_000, scale.of(20_000, 100_000))
    sides = {
        f"export_repo, {count:,} generated DICOMs": Side(
            "export:export_generated", {"dicoms": count}
        )
        for count in sizes
    }
    flat = f"export_repo, {sizes[-1]:,} generated DICOMs in one folder"
    alone = {"dicoms": sizes[-1], "folder": sizes[-1]}
    sides[flat] = Side("export:export_generated", alone)
    runs: dict[str, list[Facts]] = {case: [] for case in sides}
    for _ in range(scale.of(1, min(3, scale.repeat))):
        for case, side in sides.items():
            runs[case].append(side.run())
    made = [row_of(case, found) for case, found in runs.items()]
    for row, count in zip(made, (*sizes, sizes[-1]), strict=True):
        assert row.ours
        row.facts["us_per_dicom"] = round(row.ours / count * 1e6, 1)
        row.figure_text = f"{row.facts['us_per_dicom']} µs a DICOM"
    yield from made[:2]
    last = made[2]
    growth, slopes = _grown(sizes, [row.ours or 0.0 for row in made[:3]])
    text = f"{last.figure_text}, x {growth:.2f}; a further one x {slopes:.2f}"
    yield last.judge(max(growth, slopes), text, most=GROWTH_MOST, unit=" x")
    yield made[3]
    assert last.peak_mb
    memory = Row(f"export_repo, {sizes[-1]:,} DICOMs, memory", peak_mb=last.peak_mb)
    text = f"{last.peak_mb:.0f} MB with git and git-annex"
    yield memory.judge(last.peak_mb, text, most=MEMORY_MOST, unit=" MB")


def _grown(sizes: tuple[int, int, int], seconds: list[float]) -> tuple[float, float]:
    """Return by how much the time per DICOM grows, and that of a further one.

    The second leaves out what a dataset costs however small it is, which would hide
    growth.
    """
    few, some, many = sizes
    growth = (seconds[2] / many) / (seconds[0] / few)
    early = (seconds[1] - seconds[0]) / (some - few)
    late = (seconds[2] - seconds[1]) / (many - some)
    return growth, late / early


def _pack_settings(scale: Scale) -> Iterator[Row]:
    """Yield the size of a deposit, and the time it takes, for settings of fast-import."""
    tarball = str(inputs.tarball("functional"))
    settings = {
        "git's own (compression 6, delta depth 50)": [],
        "no deltas": ["--depth=0"],
        "compression 1": ["core.compression=1"],
        "compression 9": ["core.compression=9"],
        "compression 0": ["core.compression=0"],
    }
    for name, chosen in settings.items():
        if scale.quick and chosen:
            continue
        side = Side("export:export", {"tarball": tarball, "fast_import": chosen})
        row = compare(f"deposit with {name}", side, None, "", repeat=min(3, scale.repeat))
        row.figure = row.facts["deposit_bytes"]
        row.figure_text = f"{row.facts['deposit_bytes'] / 1e6:.2f} MB"
        yield row


# Sides


def export(tarball: str, fast_import: list[str] | None = None) -> Facts:
    """Build and deposit the dataset of an indexed visit.

    A git-annex that was asked before is used again, as in a worker.
    """
    from icfqueue.core.visit import Visit
    from icfqueue.dataset import annex_keys
    from icfqueue.steps import export_repo, index_tar, write_json

    facts: Facts = {}
    for word in fast_import or []:
        if word.startswith("--"):
            _add_options(after=(word,))
        else:
            _add_options(before=("-c", word))
    with inputs.workspace() as root, annex_keys.KeySource() as keys:
        jobs = {name: _job(root, name) for name in ("warm", "measured")}
        _warm(jobs["warm"], keys)
        job = jobs["measured"]
        place = job.store.path(Visit(inputs.PROJECT, "measured"), job.visit.tarball)
        place.hardlink_to(tarball)
        index_tar.run(job)
        write_json.run(job)
        with timed(facts):
            found = export_repo.run(job, keys)
        facts["dicoms"] = found.dicoms
        export_file = job.store.path(job.visit, job.visit.repo_export)
        facts["deposit_bytes"] = export_file.stat().st_size
    return facts


def export_generated(dicoms: int, folder: int = inputs.FOLDER) -> Facts:
    """Build and deposit the dataset of a visit of which only metadata exist.

    Parameters
    ----------
    folder
        Files in a folder.
    """
    from icfqueue.dataset import annex_keys
    from icfqueue.steps import export_repo

    facts: Facts = {"dicoms": dicoms}
    with inputs.workspace() as root, annex_keys.KeySource() as keys:
        _warm(_job(root, "warm"), keys)
        job = _job(root, "measured")
        project = root / inputs.PROJECT
        inputs.write_metadata(project, job.visit.id, inputs.records(dicoms, folder=folder))
        with timed(facts):
            export_repo.run(job, keys)
        size = job.store.path(job.visit, job.visit.repo_export).stat().st_size
        facts["deposit_bytes"] = size
    return facts


def by_batch_modes(tarball: str, part: int) -> Facts:
    """Build the same dataset by git-annex's batch modes."""
    return _reference(tarball, part, reference.by_batch_modes)


def by_datalad(tarball: str, part: int) -> Facts:
    """Build the same dataset by DataLad's addurls and a process per file."""
    return _reference(tarball, part, reference.by_datalad)


def _reference(tarball: str, part: int, build: Any) -> Facts:
    facts: Facts = {}
    with inputs.workspace() as root:
        about, found = _metadata_of(tarball, root)
        # Neither the list nor DataLad's import is part of the measurement.
        reference.create(root / "warm")
        with timed(facts):
            build(root / "dataset", about, found[:part])
    facts["files"] = len(found[:part])
    return facts


def _metadata_of(tarball: str, root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from icfqueue.steps import index_tar, write_json

    job = _job(root, "reference")
    job.store.path(job.visit, job.visit.tarball).hardlink_to(tarball)
    index_tar.run(job)
    write_json.run(job)
    about = json.loads(job.store.path(job.visit, job.visit.metadata_tarball).read_text())
    found = json.loads(job.store.path(job.visit, job.visit.metadata_dicoms).read_text())
    shutil.rmtree(root / inputs.PROJECT)
    return about, found


def _job(root: Path, name: str) -> Any:
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.steps.job import Job
    from icfqueue.store.directory import Store

    (root / inputs.PROJECT).mkdir(exist_ok=True)
    settings = Settings(store_dir=root)
    options = Options(inputs.STORE_URL)
    return Job(Visit(inputs.PROJECT, name), options, Store(root), settings)


def _warm(job: Any, keys: Any) -> None:
    from icfqueue.steps import export_repo

    project = job.store.root / inputs.PROJECT
    inputs.write_metadata(project, job.visit.id, inputs.records(1))
    export_repo.run(job, keys)


def _add_options(before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> None:
    """Have ``git fast-import`` started with other options."""
    from icfqueue.dataset import repository

    original = repository.feed

    def feed(args: list[str], chunks: Any, **more: Any) -> None:
        original([args[0], *before, *args[1:], *after], chunks, **more)

    repository.feed = feed
