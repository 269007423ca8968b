"""``index_tar`` and ``write_json``: against md5sum, DataLad and pydicom; memory."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.measure import Facts, Row, Side, against_slow, compare, mid, row_of, timed
from benchmarks.scale import Scale
from icfqueue.tarball.dicom_walk import NAMES

MD5SUM_MOST = {"structural": 1.5, "functional": 4.0}
DATALAD_LEAST = 12
SCAN_LEAST = 20
MEMORY_MOST = 300


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this module."""
    for kind, most in MD5SUM_MOST.items():
        for name in dict.fromkeys((kind, f"generated-{kind}")):
            if name != kind and (scale.quick or not inputs.is_real(kind)):
                continue
            tarball = str(inputs.tarball(name))
            ours = Side("index:index_and_write", {"tarball": tarball})
            other = Side("index:md5sum", {"tarball": tarball})
            row = compare(
                f"index_tar + write_json, {inputs.called(name)}",
                ours,
                other,
                "md5sum",
                repeat=scale.repeat,
            )
            yield _ratio(row, most)
    yield _against_datalad(scale)
    yield _scan(scale)
    yield from _memory(scale)


def _ratio(row: Row, most: float) -> Row:
    assert row.ours
    assert row.reference
    ratio = row.ours / row.reference
    return row.judge(ratio, f"{ratio:.2f} x its time", most=most, unit=" x")


def _against_datalad(scale: Scale) -> Row:
    kind = "functional"
    tarball = {"tarball": str(inputs.tarball(kind))}
    row = against_slow(
        f"index_tar + write_json, {inputs.called(kind)}",
        Side("index:index_and_write", tarball),
        Side("index:by_datalad", tarball),
        "ls_file_collection + dcmread",
        scale,
    )
    return row.judge_faster(DATALAD_LEAST)


def _scan(scale: Scale) -> Row:
    kind = "functional"
    tarball = {"tarball": str(inputs.tarball(kind))}
    row = against_slow(
        f"header scan alone, {inputs.called(kind)}",
        Side("index:scan", tarball),
        Side("index:scan_by_pydicom", tarball),
        "dcmread(stop_before_pixels, specific_tags)",
        scale,
    )
    same = row.facts["values"] == row.facts["reference_values"]
    row.facts["same_values"] = same
    row.judge_faster(SCAN_LEAST)
    row.figure_text += ", same values" if same else ", OTHER VALUES"
    row.met = bool(row.met and same)
    return row


def _memory(scale: Scale) -> Iterator[Row]:
    """Yield how memory grows with members and with bytes; the tars are made as read."""
    many = [(count, 3_000) for count in (1_000, 10_000, scale.of(20_000, 100_000))]
    yield _flat("index_tar, {:,.0f} small members", many, scale, members=True)
    long = [(count, 12_500_000) for count in (20, scale.of(40, 320))]
    yield _flat("index_tar, tar of {:.2f} GB", long, scale, members=False)
    # One member as long as that, as an enhanced multi-frame file may be.
    size = scale.of(500_000_000, 4_000_000_000)
    alone = [(1, size // 16), (1, size)]
    yield _flat("index_tar, one member of {:.2f} GB", alone, scale, members=False)


def _flat(case: str, plans: list[tuple[int, int]], scale: Scale, *, members: bool) -> Row:
    """Measure tars of growing size; judge the largest, tell the slope.

    Parameters
    ----------
    plans
        Number of members and bytes of each.
    members
        The slope is bytes a member, not megabytes a gigabyte.
    """
    runs: list[list[Facts]] = [[] for _ in plans]
    for _ in range(scale.of(1, min(3, scale.repeat))):
        for found, (count, size) in zip(runs, plans, strict=True):
            side = Side("index:index_generated", {"members": count, "size": size})
            found.append(side.run())
    first, last = plans[0], plans[-1]
    shown = last[0] if members else last[0] * last[1] / 1e9
    row = row_of(case.format(shown), runs[-1], runs[0], "itself, smaller")
    smallest, largest = mid(runs[0], "peak_mb"), mid(runs[-1], "peak_mb")
    row.facts["runs"] = [
        {"members": count, "member_bytes": size, "peak_mb": mid(found, "peak_mb")}
        for (count, size), found in zip(plans, runs, strict=True)
    ]
    more = largest - smallest
    if members:
        slope = f"{more * 1e6 / (last[0] - first[0]):.0f} bytes a member"
    else:
        slope = f"{more * 1e9 / (last[0] * last[1] - first[0] * first[1]):.1f} MB a GB"
    text = f"{smallest:.0f} → {largest:.0f} MB, {slope}"
    return row.judge(largest, text, most=MEMORY_MOST, unit=" MB")


# Sides


def index_and_write(tarball: str) -> Facts:
    """Run both steps, as a worker runs them, in a store of its own."""
    from icfqueue.core.options import Options
    from icfqueue.core.settings import Settings
    from icfqueue.core.visit import Visit
    from icfqueue.steps import index_tar, write_json
    from icfqueue.steps.job import Job
    from icfqueue.store.directory import Store

    facts: Facts = {}
    with inputs.workspace() as root:
        store = Store(root)
        (root / inputs.PROJECT).mkdir()
        settings = Settings(store_dir=root)
        for name in ("warm", "measured"):
            visit = Visit(inputs.PROJECT, name)
            job = Job(visit, Options(inputs.STORE_URL), store, settings)
            place = store.path(visit, visit.tarball)
            if name == "warm":
                place.write_bytes(_tar_of([("a/b.dcm", inputs.image(0))]))
                index_tar.run(job)
                write_json.run(job)
                continue
            place.hardlink_to(tarball)
            with timed(facts):
                found = index_tar.run(job)
                write_json.run(job)
            facts["dicoms"], facts["tar_bytes"] = found.dicoms, found.tar_bytes
    return facts


def md5sum(tarball: str) -> Facts:
    """Time the limit: coreutils' own pass over the bytes."""
    facts: Facts = {}
    with timed(facts):
        subprocess.run(["md5sum", tarball], check=True, stdout=subprocess.DEVNULL)
    return facts


def by_datalad(tarball: str) -> Facts:
    """Make the same list by ``ls_file_collection`` and ``dcmread`` alone."""
    import warnings

    warnings.simplefilter("ignore")
    import datalad.api as dl
    from pydicom import dcmread

    facts: Facts = {}
    found = []
    with timed(facts):
        listed = dl.ls_file_collection(
            "tarfile",
            Path(tarball),
            hash=["md5"],
            result_renderer="disabled",
            return_type="generator",
        )
        for item in listed:
            if (file := item.get("fp")) is None:
                continue
            file.seek(0)
            read = dcmread(file, stop_before_pixels=True, specific_tags=list(NAMES))
            values = {tag: getattr(read, tag, "") for tag in NAMES}
            found.append({"path": str(item["item"]), "md5": item["hash-md5"], **values})
        json.dumps(found)
    facts["dicoms"] = len(found)
    return facts


def _files(tarball: str) -> list[bytes]:
    with tarfile.open(tarball) as tar:
        members = (tar.extractfile(member) for member in tar if member.isfile())
        return [member.read() for member in members if member]


def _digest(found: list[dict[str, Any]]) -> str:
    return hashlib.md5(json.dumps(found).encode()).hexdigest()


def scan(tarball: str) -> Facts:
    """Our header scanner over every file, already in memory."""
    from icfqueue.tarball.dicom_tags import TagReader

    files, facts = _files(tarball), Facts()
    reader = TagReader()
    with timed(facts):
        said = [reader.read(file) for file in files]
    facts["files"] = len(files)
    facts["values"] = _digest([json.loads("{" + (text or "}")) for text in said])
    return facts


def scan_by_pydicom(tarball: str) -> Facts:
    """Pydicom over every file, already in memory."""
    from pydicom import dcmread

    files, facts = _files(tarball), Facts()
    found = []
    with timed(facts):
        for file in files:
            read = dcmread(
                io.BytesIO(file), stop_before_pixels=True, specific_tags=list(NAMES)
            )
            found.append({tag: getattr(read, tag, "") for tag in NAMES})
    facts["values"] = _digest(json.loads(json.dumps(found)))
    return facts


def index_generated(members: int, size: int) -> Facts:
    """Index a tar that is made while it is read: no tar lies on the disk."""
    from icfqueue.tarball import scan

    facts: Facts = {}
    source = GeneratedTar(members, size)
    with open("/dev/null", "wb") as out, timed(facts):
        found = scan.index_stream(source, out)
    assert found.dicoms == members
    facts["tar_bytes"] = found.size
    return facts


def _tar_of(members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


LONGEST_MADE = 100_000
"""Bytes of a member that are made, with a header; zeros follow."""


class GeneratedTar:
    """The bytes of a tar of DICOM files, made one member at a time.

    Parameters
    ----------
    members, size
        How many, and of about how many bytes.
    """

    def __init__(self, members: int, size: int) -> None:
        self._parts = self._made(members, size)
        self._left = memoryview(b"")

    @staticmethod
    def _made(members: int, size: int) -> Iterator[bytes]:
        piece = bytes(1 << 20)
        for number in range(members):
            # A long member ends in zeros, which are made as they are read.
            content = inputs.image(number, min(size, LONGEST_MADE))
            more = max(0, size - LONGEST_MADE)
            info = tarfile.TarInfo(f"study_1_v/series/{number:06d}.dcm")
            info.size = len(content) + more
            yield info.tobuf(tarfile.GNU_FORMAT)
            yield content
            while more:
                yield piece[:more]
                more -= min(more, len(piece))
            yield piece[: -info.size % 512]
        yield piece[:1024]

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._left = memoryview(part)
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)
