"""Step ``index_tar``: what is left for the next step, what is read, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from support.datasets import TAGS
from support.guards import CountingGuard, MeddlingGuard, MindingGuard
from support.reading import counted_opens

from benchmarks.identifiers import LATIN, Person, image
from icfqueue.core.errors import (
    BadTarball,
    Cancelled,
    NotInStore,
    NotSeen,
    PermanentError,
    StepError,
    TarballChanged,
    TarballTouched,
    TransientError,
)
from icfqueue.core.options import Identifiers
from icfqueue.demo.visits import NEWEST, shipped, write_tar
from icfqueue.outputs import tarball_index
from icfqueue.outputs.freshness import KnownTarball
from icfqueue.steps import index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.tarball.scan import Tarball

MakeJob = Callable[..., Job]
FILES = shipped("dicomdirtests/98892003/MR1")
ONE = FILES[0].read_bytes()


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """A visit of a text file and three real DICOM files."""
    return filled(make_job("v1"))


def filled(job: Job, *members: tuple[str, bytes]) -> Job:
    chosen = list(members) or [
        ("study_1_v1/README", b"text"),
        *((f"study_1_v1/{file.name}", file.read_bytes()) for file in FILES[:3]),
    ]
    write_tar(job.store.path(job.visit, job.visit.tarball), chosen)
    return job


def listing(job: Job) -> list[dict[str, object]]:
    found = json.loads(tarball_index.dicoms_path(job.store, job.visit).read_text())
    assert isinstance(found, list)
    return found


def outputs(job: Job) -> list[str]:
    """Names of what lies in the project's folder, hidden things included."""
    return sorted(path.name for path in job.store.project_dir("study_1").iterdir())


def test_lists_the_dicoms_in_tar_order_and_notes_the_tarball(job: Job) -> None:
    content = job.store.path(job.visit, job.visit.tarball).read_bytes()
    outcome = index_tar.run(job)
    md5 = hashlib.md5(content).hexdigest()
    assert (outcome.worked, outcome.tar_bytes, outcome.tar_md5, outcome.dicoms) == (
        True,
        len(content),
        md5,
        3,
    )
    found = listing(job)
    assert [one["path"] for one in found] == [f"study_1_v1/{f.name}" for f in FILES[:3]]
    assert found[0]["md5"] == hashlib.md5(ONE).hexdigest()
    assert found[0]["size"] == len(ONE)
    assert list(found[0]) == ["path", "md5", "size", *TAGS]
    note = tarball_index.read(job.store, job.visit)
    assert note is not None
    assert note.tarball == Tarball(len(content), md5, 3, NEWEST)
    work = job.store.work_dir(job.visit)
    left = sorted(path.name for path in work.iterdir())
    assert left == ["dicoms.json", "index.json", "offsets.json"]


def test_where_each_dicom_begins_is_noted(job: Job) -> None:
    """Read at that place, the tarball gives the image."""
    index_tar.run(job)
    content = job.store.path(job.visit, job.visit.tarball).read_bytes()
    offsets = json.loads(
        tarball_index.offsets_path(job.store, job.visit).read_text(encoding="ascii")
    )
    for one, start in zip(listing(job), offsets, strict=True):
        image = content[start : start + one["size"]]
        assert hashlib.md5(image).hexdigest() == one["md5"]


def test_is_not_done_again_for_the_same_tarball(job: Job) -> None:
    """After a crash behind this step its files are found and used, forced or not."""
    index_tar.run(job)
    again = index_tar.run(job)
    assert not again.worked
    assert again.dicoms == 3
    assert not index_tar.run(replace(job, options=replace(job.options, force=True))).worked


def test_is_done_again_for_another_tarball_or_a_lost_list(job: Job) -> None:
    index_tar.run(job)
    tarball_index.dicoms_path(job.store, job.visit).write_text("[]")
    assert index_tar.run(job).worked
    filled(job, ("a.dcm", ONE))
    assert index_tar.run(job).worked
    assert len(listing(job)) == 1


def test_after_a_damaged_note_it_is_done_again(job: Job) -> None:
    index_tar.run(job)
    tarball_index.index_path(job.store, job.visit).write_text('{"size": 1}')
    assert index_tar.run(job).worked


def published(job: Job) -> Job:
    """The job as it is when the visit comes again: its record knows the tarball."""
    outcome = index_tar.run(job)
    write_json.run(job)
    job.store.forget_work(job.visit)
    return replace(job, known=KnownTarball.of(outcome.fingerprint, outcome.tar_md5))


def test_published_metadata_of_an_older_tarball_need_no_reading(job: Job) -> None:
    """A tarball that did not change since it was read is not read again."""
    job = published(job)
    guard = CountingGuard()
    outcome = index_tar.run(replace(job, guard=guard))
    assert (outcome.worked, outcome.dicoms) == (False, 3)
    assert outcome.tar_bytes
    assert outcome.tar_md5
    assert guard.calls == 0


def test_a_touched_tarball_is_compared_by_md5_once(job: Job) -> None:
    job = published(job)
    path = job.store.path(job.visit, job.visit.tarball)
    os.utime(path)
    outcome = index_tar.run(job)
    assert not outcome.worked
    assert outcome.fingerprint == job.store.fingerprint(path)
    known = KnownTarball.of(outcome.fingerprint, outcome.tar_md5)
    with counted_opens() as opens:
        assert index_tar.run(replace(job, known=known)).fingerprint == outcome.fingerprint
    assert opens[job.visit.tarball] == 0
    assert not job.store.work_dir(job.visit).exists()


def test_metadata_that_stand_for_another_tarball_than_the_record_are_noticed(
    job: Job,
) -> None:
    """As from a backup: the tarball is the one that was read, its metadata are not."""
    job = published(job)
    assert job.known
    other = job.known._replace(md5="0" * 32)
    with pytest.raises(TarballChanged, match=f"found MD5 {'0' * 32}"):
        index_tar.run(replace(job, known=other))


def test_a_tarball_that_may_change_unseen_is_not_known_by_its_fingerprint(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two changes may have the same time the MD5 is taken each time."""
    monkeypatch.setattr(index_tar, "is_settled", lambda *_: False)
    assert index_tar.run(job).fingerprint is None
    assert index_tar.run(job).fingerprint is None
    write_json.run(job)
    assert index_tar.run(job).fingerprint is None


def test_a_changed_tarball_fails_unless_forced(job: Job) -> None:
    """By its size, or by its MD5 where the size is the same; both values are named."""
    job = published(job)
    path = job.store.path(job.visit, job.visit.tarball)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        TarballChanged, match=r"study_1/v1.*recorded MD5.*found MD5"
    ) as caught:
        index_tar.run(job)
    assert "--force" in caught.value.hint
    filled(job, ("a.dcm", ONE))
    with pytest.raises(TarballChanged, match="bytes, found"):
        index_tar.run(job)
    forced = replace(job, options=replace(job.options, force=True))
    assert index_tar.run(forced).dicoms == 1


def test_metadata_of_the_older_tools_are_read(job: Job) -> None:
    """They write JSON without a newline, in any spacing."""
    index_tar.run(job)
    visit, path = job.visit, job.store.path(job.visit, job.visit.tarball)
    job.store.path(visit, visit.metadata_dicoms).write_text(json.dumps(listing(job)))
    job.store.path(visit, visit.metadata_tarball).write_text(
        json.dumps(
            {
                "size": path.stat().st_size,
                "md5": hashlib.md5(path.read_bytes()).hexdigest(),
                "dspath": visit.dspath,
                "storepath": visit.storepath,
            },
            indent=3,
        )
    )
    job.store.forget_work(visit)
    outcome = index_tar.run(job)
    assert (outcome.worked, outcome.dicoms) == (False, 3)


def test_a_tarball_that_is_not_there(make_job: MakeJob) -> None:
    with pytest.raises(NotInStore, match=r"study_1/v1_dicom\.tar"):
        index_tar.run(make_job("v1"))


def test_a_folder_in_the_tarballs_place_is_a_clear_error(make_job: MakeJob) -> None:
    job = make_job("v1")
    job.store.path(job.visit, job.visit.tarball).mkdir()
    with pytest.raises(PermanentError, match=r"study_1/v1_dicom\.tar cannot be indexed"):
        index_tar.run(job)


def test_a_tarball_that_changes_while_it_is_read_is_tried_again(job: Job) -> None:
    path = job.store.path(job.visit, job.visit.tarball)
    meddling = MeddlingGuard(lambda: os.utime(path))
    with pytest.raises(TransientError, match="changed"):
        index_tar.run(replace(job, guard=meddling))
    assert tarball_index.read(job.store, job.visit) is None


def test_work_that_is_called_off_leaves_nothing(job: Job) -> None:
    with pytest.raises(Cancelled):
        index_tar.run(replace(job, guard=MindingGuard(0)))
    assert not job.store.work_dir(job.visit).exists()


def test_every_byte_and_dicom_is_reported(job: Job) -> None:
    guard = CountingGuard()
    outcome = index_tar.run(replace(job, guard=guard))
    assert (guard.bytes, guard.dicoms) == (outcome.tar_bytes, 3)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a.txt", b"x")], "has no DICOM file"),
        ([("../a.txt", b"x"), ("b.dcm", ONE)], "'../a.txt' leads out"),
        ([("/a.txt", b"x"), ("b.dcm", ONE)], "'/a.txt' has an absolute path"),
        ([(".git/a", b"x"), ("b.dcm", ONE)], "Git keeps"),
        ([("a&b.dcm", ONE)], "'&'"),
        ([("./b.dcm", ONE)], "leading './'"),
        ([("b.dcm", ONE), ("b.dcm", ONE)], "twice"),
        ([("b.dcm", ONE), ("b.dcm", b"text")], "twice"),
        ([("b.dcm", b"text"), ("b.dcm", ONE)], "twice"),
        ([("b", ONE), ("b/c", ONE)], "'b/c' lies below 'b'"),
        ([("icf/v1_dicom.tar", ONE)], "tarball itself"),
        ([(".datalad/config", ONE)], "dataset's own"),
    ],
)
def test_bad_members_fail_the_visit_and_leave_nothing(
    make_job: MakeJob, members: list[tuple[str, bytes]], words: str
) -> None:
    job = filled(make_job("v1"), *members)
    with pytest.raises(BadTarball, match=r"v1_dicom\.tar") as caught:
        index_tar.run(job)
    assert words in str(caught.value)
    assert caught.value.hint
    assert outputs(job) == ["v1_dicom.tar"]
    assert not job.store.work_dir(job.visit).exists()


def test_members_that_are_no_dicom_may_have_any_harmless_name(make_job: MakeJob) -> None:
    """Only what the dataset lists must be fetchable."""
    odd = [("a&b#c.txt", b"x"), ("./n", b"x"), ("./n", b"x"), ("a\nb", b"x")]
    assert index_tar.run(filled(make_job("v1"), *odd, ("b.dcm", ONE))).dicoms == 1


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_fail_the_visit(make_job: MakeJob, kind: bytes) -> None:
    job = make_job("v1")
    with tarfile.open(job.store.path(job.visit, job.visit.tarball), "w") as tar:
        info = tarfile.TarInfo("v/a.dcm")
        info.size = len(ONE)
        tar.addfile(info, io.BytesIO(ONE))
        link = tarfile.TarInfo("v/b.dcm")
        link.type, link.linkname = kind, "v/a.dcm"
        tar.addfile(link)
    with pytest.raises(BadTarball, match=r"'v/b\.dcm' is a .* link") as caught:
        index_tar.run(job)
    assert "icfqueue repack PROJECT VISIT --replace" in caught.value.hint


def test_a_sparse_member_fails_the_visit(make_job: MakeJob) -> None:
    job = make_job("v1")
    with tarfile.open(job.store.path(job.visit, job.visit.tarball), "w") as tar:
        info = tarfile.TarInfo("v/a.dcm")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        tar.addfile(info)
    with pytest.raises(BadTarball, match="sparse"):
        index_tar.run(job)


def test_an_ordinary_visit_is_indexed_without_importing_pydicom(job: Job) -> None:
    """Its import takes longer than the reading of a small visit."""
    code = (
        "import sys; from icfqueue.steps import index_tar; import io\n"
        "from icfqueue.tarball.scan import index_stream\n"
        "with open(sys.argv[1], 'rb') as source:\n"
        "    assert index_stream(source, io.BytesIO()).dicoms == 3\n"
        "assert not {'pydicom', 'redis', 'datalad'} & set(sys.modules)"
    )
    path = job.store.path(job.visit, job.visit.tarball)
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


names = st.sampled_from(
    [
        "v/a.dcm",
        "v/b.dcm",
        "v",
        "a&b",
        "./x",
        "../y",
        "v/.git/z",
        "icf/p_dicom.tar",
        "ü",
        "",
    ]
) | st.text(min_size=0, max_size=20)
contents = st.sampled_from([ONE, ONE[:700], ONE[128:900], b"", b"text"]) | st.binary(
    max_size=600
)
kinds = st.sampled_from(
    [b"0"] * 6 + [b"5", b"1", b"2", b"S", b"x", b"L", b"g", b"\0", b"Z"]
)


@st.composite
def tarballs(draw: st.DrawFn) -> bytes:
    """Make a tar of odd members, then cut it and flip some of its bytes."""
    out = io.BytesIO()
    form = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with tarfile.open(
        fileobj=out, mode="w", format=form, errors="surrogatepass", encoding="utf-8"
    ) as tar:
        for _ in range(draw(st.integers(0, 4))):
            info = tarfile.TarInfo(draw(names))
            content = draw(contents)
            info.type, info.size = draw(kinds), len(content)
            info.mtime = draw(st.integers(0, 2**34))
            info.linkname = "v/a.dcm"
            tar.addfile(info, io.BytesIO(content))
    content = bytearray(out.getvalue())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content) - 1))
        content[at] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(content=tarballs())
def test_any_tarball_ends_in_an_outcome_or_a_step_error(
    make_job: MakeJob, content: bytes
) -> None:
    """Never another exception, nothing published, nothing left over after a failure."""
    job = make_job("p")
    job.store.forget_work(job.visit)
    job.store.path(job.visit, job.visit.tarball).write_bytes(content)
    try:
        outcome = index_tar.run(job)
    except StepError:
        assert not job.store.work_dir(job.visit).exists()
        assert outputs(job) == ["p_dicom.tar"]
    else:
        assert outcome.dicoms == len(listing(job)) > 0
        assert outcome.tar_md5 == hashlib.md5(content).hexdigest()
        assert outputs(job) == [".icfqueue", "p_dicom.tar"]


def settling(job: Job, seconds: float = 60.0) -> Job:
    return replace(job, settings=structs.replace(job.settings, settle=seconds))


def cut(job: Job) -> Path:
    """Leave half of the tarball, as a copy does that goes on."""
    path = job.store.path(job.visit, job.visit.tarball)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    return path


def test_a_cut_tarball_that_was_changed_just_now_may_be_a_copy_that_goes_on(
    job: Job,
) -> None:
    """It is looked at again, and no attempt counts; once it is at rest it is broken."""
    path = cut(job)
    with pytest.raises(TarballTouched, match="changed within the last 60 s") as caught:
        index_tar.run(settling(job))
    assert caught.value.retry_after == index_tar.MOST_WAIT
    assert "rename" in caught.value.hint
    with pytest.raises(BadTarball):
        index_tar.run(settling(job, 0.0))
    # Its own time may say what it likes: what counts is when it was changed.
    os.utime(path, ns=(1, 1))
    with pytest.raises(TarballTouched):
        index_tar.run(settling(job))


def test_what_a_copy_cannot_mend_is_not_waited_for(job: Job) -> None:
    path = job.store.path(job.visit, job.visit.tarball)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(BadTarball, match="compressed"):
        index_tar.run(settling(job))


def test_a_broken_tarball_that_was_received_whole_is_not_waited_for(job: Job) -> None:
    """The store has it so: its published MD5 is that of what was received."""
    cut(job)
    with pytest.raises(BadTarball):
        index_tar.run(replace(settling(job), md5="0" * 32, known=None))


@pytest.mark.parametrize("whole", [True, False])
def test_a_tarball_that_grows_while_it_is_read_is_no_broken_one(
    job: Job, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    path = job.store.path(job.visit, job.visit.tarball) if whole else cut(job)
    real = index_tar.index_stream

    def growing(*args: Any, **more: Any) -> Any:
        with path.open("ab") as file:
            file.write(b"x")
        return real(*args, **more)

    monkeypatch.setattr(index_tar, "index_stream", growing)
    with pytest.raises(TarballTouched, match="changed while it was read") as caught:
        index_tar.run(settling(job))
    assert caught.value.retry_after


def test_a_short_time_to_settle_is_waited_for_once(job: Job) -> None:
    cut(job)
    with pytest.raises(TarballTouched) as caught:
        index_tar.run(settling(job, 2.0))
    assert caught.value.retry_after == 2.0


def test_a_tarball_that_fetch_left_is_only_not_seen_yet(
    make_job: Callable[..., Job],
) -> None:
    with pytest.raises(NotSeen, match="an earlier step left it there"):
        index_tar.run(replace(make_job("gone"), vouched=True))


# --- identifiers ----------------------------------------------------------------------

JANE = Person(LATIN, "Placeholder^Jane")


def with_jane(job: Job, **chosen: Any) -> Job:
    """Return a job whose tarball has a name in a path."""
    members = [("study_1_v1/jane/1.dcm", image(JANE, "t1"))]
    return filled(replace(job, settings=structs.replace(job.settings, **chosen)), *members)


def test_what_tells_who_a_person_is_is_counted_and_noted(make_job: MakeJob) -> None:
    job = with_jane(make_job("v1"))
    found = Identifiers(1, 0, ("name",))
    assert index_tar.run(job).identifiers == found
    noted = tarball_index.read(job.store, job.visit)
    assert noted is not None
    assert noted.identifiers == found
    # Not done again, and still known.
    again = index_tar.run(job)
    assert (again.worked, again.identifiers) == (False, found)


def test_where_nobody_is_that_is_noted_too(job: Job) -> None:
    assert index_tar.run(job).identifiers == Identifiers()


def test_a_held_visit_fails_before_anything_appears(make_job: MakeJob) -> None:
    job = with_jane(make_job("v1"), identifiers="hold")
    with pytest.raises(PermanentError, match=r"in 1 path \(name\)") as caught:
        index_tar.run(job)
    assert caught.value.identifiers == Identifiers(1, 0, ("name",))
    assert caught.value.cause == "identifiers"
    assert tarball_index.read(job.store, job.visit) is None
    work = job.store.work_dir(job.visit)
    assert not [path for path in work.rglob("*") if path.is_file()]


def test_an_index_that_nobody_looked_at_is_made_anew(make_job: MakeJob) -> None:
    """As one of the release before, or from when the setting was another."""
    job = with_jane(make_job("v1"), identifiers="off")
    assert index_tar.run(job).identifiers is None
    assert not index_tar.run(job).worked
    job = with_jane(job, identifiers="warn")
    assert index_tar.run(job).identifiers
    # It need not be read again to be held.
    with pytest.raises(PermanentError, match="identifiers of a person"):
        index_tar.run(
            replace(job, settings=structs.replace(job.settings, identifiers="hold"))
        )


def test_only_what_was_accepted_goes_on(make_job: MakeJob) -> None:
    job = with_jane(make_job("v1"), identifiers="hold")
    accepted = Identifiers(1, 0, ("name",), "ada", 7.0)
    told = index_tar.run(replace(job, identifiers=accepted)).identifiers
    assert told is not None
    assert (told.accepted_by, told.accepted_at) == ("ada", 7.0)
    for other in (replace(accepted, paths=2), replace(accepted, accepted_by="")):
        with pytest.raises(PermanentError, match="identifiers of a person"):
            index_tar.run(replace(job, identifiers=other))
