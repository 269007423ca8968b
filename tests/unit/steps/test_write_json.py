"""Step ``write_json`` publishes what the tarball holds, and what vouches for it last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.guards import LosingGuard, MeddlingGuard
from support.reading import counted_opens

from icfqueue.core.errors import LeaseLost, NotSeen, TransientError
from icfqueue.core.processes import faultpoint
from icfqueue.demo.visits import shipped, write_tar
from icfqueue.outputs import metadata_files, tarball_index
from icfqueue.outputs.metadata_files import TarballMeta
from icfqueue.steps import index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store import fingerprint

MakeJob = Callable[..., Job]
FILES = shipped("dicomdirtests/98892003/MR1")


def pack(job: Job, count: int = 2) -> None:
    members = [(f"s/{file.name}", file.read_bytes()) for file in FILES[:count]]
    write_tar(job.store.path(job.visit, job.visit.tarball), members)


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """An indexed visit."""
    made = make_job("v1")
    pack(made)
    index_tar.run(made)
    return made


def forced(job: Job) -> Job:
    return replace(job, options=replace(job.options, force=True))


def paths(job: Job) -> tuple[Path, Path, Path]:
    """Return where both metadata files and the deposit's refs lie."""
    visit = job.visit
    names = (visit.metadata_dicoms, visit.metadata_tarball, visit.refs)
    dicoms, tarball, refs = (job.store.path(visit, name) for name in names)
    return dicoms, tarball, refs


def test_publishes_both_files_in_the_documented_layout(job: Job) -> None:
    outcome = write_json.run(job)
    assert outcome.worked
    dicoms, tarball, _ = paths(job)
    told = json.loads(tarball.read_text())
    assert list(told) == ["size", "md5", "dspath", "storepath"]
    assert told["dspath"] == "icf/v1_dicom.tar"
    assert told["storepath"] == "study_1/v1_dicom.tar"
    assert (told["size"], told["md5"]) == (outcome.tar_bytes, outcome.tar_md5)
    assert len(json.loads(dicoms.read_text())) == outcome.dicoms == 2
    assert tarball_index.read(job.store, job.visit), "the next step reads it"


def test_reads_back_what_it_published(job: Job) -> None:
    write_json.run(job)
    found = metadata_files.read_tarball(job.store, job.visit)
    size = job.store.path(job.visit, job.visit.tarball).stat().st_size
    assert isinstance(found, TarballMeta)
    assert (found.size, found.dspath) == (size, "icf/v1_dicom.tar")
    records = metadata_files.read_dicoms(job.store, job.visit)
    assert [record["path"] for record in records] == [f"s/{f.name}" for f in FILES[:2]]


def test_does_nothing_the_second_time(job: Job) -> None:
    write_json.run(job)
    before = [path.stat().st_mtime_ns for path in paths(job)[:2]]
    outcome = write_json.run(job)
    assert not outcome.worked
    assert outcome.dicoms == 2
    assert not index_tar.run(job).worked
    assert not write_json.run(forced(job)).worked
    assert [path.stat().st_mtime_ns for path in paths(job)[:2]] == before


def test_metadata_that_were_there_before_are_left_alone(job: Job) -> None:
    """Nothing was indexed, because they belong to the tarball: nothing to write."""
    write_json.run(job)
    job.store.forget_work(job.visit)
    assert not index_tar.run(job).worked
    outcome = write_json.run(job)
    assert (outcome.worked, outcome.dicoms) == (False, 2)


def test_without_an_index_the_visit_is_tried_again(make_job: MakeJob) -> None:
    job = make_job("v1")
    pack(job)
    with pytest.raises(TransientError, match="not indexed"):
        write_json.run(job)


def test_a_tarball_that_changed_since_it_was_indexed_is_not_described(job: Job) -> None:
    pack(job, 3)
    with pytest.raises(TransientError, match="changed"):
        write_json.run(job)
    assert not any(path.exists() for path in paths(job))


def test_a_change_during_the_last_moment_is_noticed(job: Job) -> None:
    """The tarball is looked at again after the file that vouches for it was written."""
    tarball = job.store.path(job.visit, job.visit.tarball)
    meddling = MeddlingGuard(lambda: os.utime(tarball), before=job.visit.metadata_dicoms)
    with pytest.raises(TransientError, match="changed"):
        write_json.run(replace(job, guard=meddling))
    assert metadata_files.read_tarball(job.store, job.visit) is None


def test_a_lost_list_is_made_again(job: Job) -> None:
    tarball_index.dicoms_path(job.store, job.visit).write_text("[]")
    with pytest.raises(TransientError, match="indexed"):
        write_json.run(job)
    assert index_tar.run(job).worked
    assert write_json.run(job).worked


def test_a_deposit_does_not_outlive_its_metadata(job: Job) -> None:
    """When other metadata are published, the old deposit is withdrawn before."""
    write_json.run(job)
    paths(job)[2].write_text("refs")
    pack(job, 3)
    index_tar.run(forced(job))
    assert write_json.run(forced(job)).dicoms == 3
    assert not paths(job)[2].exists()
    assert len(metadata_files.read_dicoms(job.store, job.visit)) == 3


def test_a_worker_that_lost_its_lease_publishes_nothing(job: Job) -> None:
    with pytest.raises(LeaseLost):
        write_json.run(replace(job, guard=LosingGuard()))
    assert not any(path.exists() for path in paths(job))


PROCESS = """
import sys
from pathlib import Path
from icfqueue.steps import index_tar, write_json
from icfqueue.core.options import Options
from icfqueue.steps.job import Job
from icfqueue.core.settings import Settings
from icfqueue.store import fingerprint
from icfqueue.store.directory import Store
from icfqueue.core.visit import Visit
store = Store(Path(sys.argv[1]))
job = Job(Visit("study_1", "v1"), Options("https://x", force=True), store, Settings())
index_tar.run(job)
write_json.run(job)
"""


@pytest.mark.parametrize(
    "point",
    [
        f"{moment} {name}"
        for name in ("dicoms.json", "index.json", "metadata_dicoms.json", "_tarball.json")
        for moment in ("before", "after")
    ],
)
def test_a_kill_at_any_publication_is_made_good_by_the_next_run(
    job: Job, point: str
) -> None:
    """The tarball's file is never there without its list, nor the deposit without both."""
    write_json.run(job)
    dicoms, tarball, refs = paths(job)
    refs.write_text("refs")
    pack(job, 3)
    killed = subprocess.run(
        [sys.executable, "-c", PROCESS, str(job.store.root)],
        env={**os.environ, faultpoint.VARIABLE: point},
        check=False,
    )
    assert killed.returncode == -9
    if tarball.exists():
        told = metadata_files.read_tarball(job.store, job.visit)
        assert told is not None
        with job.store.open_read(job.store.path(job.visit, job.visit.tarball)) as file:
            same = told.md5 == fingerprint.md5_of(file)
        assert len(metadata_files.read_dicoms(job.store, job.visit)) == (3 if same else 2)
        assert not (same and refs.exists())
    else:
        assert not refs.exists()
    index_tar.run(forced(job))
    write_json.run(forced(job))
    assert len(metadata_files.read_dicoms(job.store, job.visit)) == 3
    assert not refs.exists()
    job.store.forget_work(job.visit)
    left = {path.name for path in job.store.project_dir("study_1").iterdir()}
    assert left == {dicoms.name, tarball.name, job.visit.tarball}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"size": 1}', "\udcff"])
def test_a_damaged_tarball_file_is_replaced_by_force(job: Job, text: str) -> None:
    path = paths(job)[1]
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert write_json.run(forced(job)).worked
    assert metadata_files.read_tarball(job.store, job.visit)


@pytest.mark.parametrize("text", ["", "{}", '[{"path": "a"}]'])
def test_a_damaged_list_is_not_vouched_for_and_made_again(job: Job, text: str) -> None:
    write_json.run(job)
    paths(job)[0].write_text(text)
    with pytest.raises(TransientError, match="is not the one that was indexed"):
        write_json.run(job)
    index_tar.run(forced(job))
    assert write_json.run(job).worked
    assert len(metadata_files.read_dicoms(job.store, job.visit)) == 2


def test_the_number_of_dicoms_that_an_earlier_step_told_is_taken(job: Job) -> None:
    """Nothing was indexed, and the list need not be read to count it."""
    write_json.run(job)
    job.store.forget_work(job.visit)
    with counted_opens() as opens:
        assert write_json.run(replace(job, dicoms=77)).dicoms == 77
    assert opens[job.visit.metadata_dicoms] == 0


def test_an_index_that_is_not_seen_is_waited_for(job: Job) -> None:
    """Also where metadata of an earlier tarball are there: they are not taken for new."""
    late = replace(job, vouched=True, md5="0" * 32)
    job.store.forget_work(job.visit)
    with pytest.raises(NotSeen, match="not indexed"):
        write_json.run(late)
    pack(job)
    index_tar.run(job)
    write_json.run(job)
    job.store.forget_work(job.visit)
    with pytest.raises(NotSeen, match="index of the new"):
        write_json.run(late)
    told = metadata_files.read_tarball(job.store, job.visit)
    assert told is not None
    assert not write_json.run(replace(late, md5=told.md5)).worked


def test_a_list_or_tarball_that_is_not_seen_leaves_the_index_alone(job: Job) -> None:
    late = replace(job, vouched=True)
    index = tarball_index.index_path(job.store, job.visit)
    path = job.store.path(job.visit, job.visit.tarball)
    for missing in (tarball_index.dicoms_path(job.store, job.visit), path):
        away = missing.rename(missing.with_name("away"))
        with pytest.raises(NotSeen):
            write_json.run(late)
        assert index.exists()
        away.rename(missing)


def test_what_was_streamed_is_described_without_a_tarball(job: Job) -> None:
    """None is here to be compared; one that appears was not read."""
    index = tarball_index.index_path(job.store, job.visit)
    known = tarball_index.read(job.store, job.visit)
    assert known is not None
    index.write_text(tarball_index.dump(known._replace(fingerprint=None)))
    job.store.path(job.visit, job.visit.tarball).unlink()
    assert write_json.run(job).tar_md5 == known.tarball.md5
    job.store.path(job.visit, job.visit.tarball).write_bytes(b"another")
    assert not write_json.run(job).worked
