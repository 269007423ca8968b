"""Tarballs of every kind, well-formed and not: an error of ours, or a whole dataset.

Each tarball goes through the step functions. What ends complete is fetched back, content
by content, through the very classes by which DataLad's ``archivist`` remote finds and
reads a member; a sample of them by ``datalad clone`` and ``datalad get`` themselves.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from support import datasets, streams
from support.chaos_project import LONG, PROJECT, SEED
from support.faulty_store import FaultyStore

from icfqueue.core.errors import PermanentError
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.demo.visits import shipped
from icfqueue.outputs import deposit
from icfqueue.steps import export_repo, fetch, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

TARBALLS = 2000 if LONG else 120
CLONES = 20 if LONG else 1
STREAMS = 500 if LONG else 40

ODD = (
    "CT_small.dcm",
    "image_dfl.dcm",
    "MR_small_bigendian.dcm",
    "badVR.dcm",
    "no_meta.dcm",
)

FILES = tuple(
    path.read_bytes() for path in shipped() if path.name in ODD or path.parent.name == "MR1"
)

GOOD = st.text("abcXYZ019._- =ü漢{}%'\"\\?", min_size=1, max_size=12)
BAD = st.sampled_from(
    [
        "..",
        ".",
        "",
        ".git",
        ".GIT",
        "git~1",
        ".git\u200d",
        "a&b",
        "a#b",
        "new\nline",
        "\udcff",
        "\x01",
        "x" * 256,
        ".datalad",
        ".gitattributes",
        "icf",
        "a/b",
    ]
)


def mostly(
    usual: st.SearchStrategy[str], *odd: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    """Draw from `usual`, and once in a while from one of the others."""
    choice = st.sampled_from([usual] * (40 * len(odd)) + list(odd))
    return choice.flatmap(lambda chosen: chosen)


NAMES = st.lists(mostly(GOOD, BAD), min_size=1, max_size=4).map("/".join)
PATHS = mostly(
    NAMES,
    NAMES.map("/".__add__),
    NAMES.map("./".__add__),
    st.just("icf/t1_dicom.tar"),
    st.just(".datalad/config"),
    st.just("a/" * 300 + "deep"),
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A DICOM file, whole in most cases, or something else."""
    kind = draw(st.sampled_from(range(20)))
    content = draw(st.sampled_from(FILES))
    if kind < 12:
        # Two that differ in their last bytes are two keys.
        return content + b"\0" * (draw(st.integers(0, 3)) * 2)
    if kind < 14:
        return content[: draw(st.integers(0, len(content)))]
    if kind < 16:
        spoilt = bytearray(content)
        for _ in range(draw(st.integers(1, 8))):
            spoilt[draw(st.integers(0, min(len(spoilt), 1500) - 1))] = draw(
                st.integers(0, 255)
            )
        return bytes(spoilt)
    if kind < 18:
        return bytes(128) + b"DICM" + draw(st.binary(max_size=80))
    return draw(st.binary(max_size=700))


TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 90
    + [tarfile.DIRTYPE] * 3
    + [
        tarfile.AREGTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
    ]
)


@st.composite
def tarballs(draw: st.DrawFn) -> bytes:
    """A tarball: members, names, headers; perhaps cut, flipped, lengthened or packed."""
    out = io.BytesIO()
    form = draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    encoding = {"encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(fileobj=out, mode="w", format=form, **encoding) as tar:
        for number in range(draw(st.sampled_from([1, 2, 2, 3, 3, 4, 5, 0]))):
            path = draw(PATHS)
            # Else most would be refused because two members have one name.
            alike = draw(st.sampled_from([False] * 15 + [True]))
            info = tarfile.TarInfo(path if alike else f"{path}{number}")
            info.type = draw(TYPES)
            info.mtime = draw(st.sampled_from([0, 1_374_063_300, 1.5, 2**33, 2**40]))
            content = b""
            if info.isreg():
                content = draw(contents())
                info.size = len(content)
            else:
                info.linkname = draw(PATHS)
            if form == tarfile.PAX_FORMAT and draw(st.sampled_from(range(16))) == 0:
                info.pax_headers = {draw(st.sampled_from(PAX)): draw(st.text(max_size=9))}
            tar.addfile(info, io.BytesIO(content))
    made = out.getvalue()
    harm = draw(st.sampled_from(range(20)))
    if harm == 16:
        return made[: draw(st.integers(0, len(made)))]
    if harm == 17:
        return gzip.compress(made)
    if harm == 18:
        return made + draw(st.binary(min_size=1, max_size=1500))
    if harm == 19:
        return draw(st.binary(max_size=1500))
    if harm > 12:
        spoilt = bytearray(made)
        for _ in range(draw(st.integers(1, 5))):
            spoilt[draw(st.integers(0, len(spoilt) - 1))] ^= 1 << draw(st.integers(0, 7))
        return bytes(spoilt)
    return made


PAX = ["comment", "size", "path", "linkpath", "mtime", "GNU.sparse.size", "hdrcharset"]


@dataclass
class Tally:
    """What became of the tarballs so far, and a sample of the complete ones."""

    root: Path
    url: str
    keys: KeySource
    chance: random.Random
    count: int = 0
    complete: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    fetched: int = 0
    sample: list[Visit] = field(default_factory=list)

    def job(self) -> Job:
        self.count += 1
        store = Store(self.root)
        visit = Visit(PROJECT, f"t{self.count}")
        # A broken one is not waited for, as one that is being copied would be.
        settings = Settings(store_dir=self.root, keep_free=0, settle=0)
        return Job(visit, Options(self.url), store, settings)

    def keep(self, visit: Visit) -> Visit | None:
        """Take `visit` into the sample or not; return the one that is not in it."""
        self.complete += 1
        if len(self.sample) < CLONES:
            self.sample.append(visit)
            return None
        place = self.chance.randrange(self.complete)
        if place >= CLONES:
            return visit
        self.sample[place], visit = visit, self.sample[place]
        return visit


def paths(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def try_one(tally: Tally, content: bytes) -> None:
    """Do the steps with a tarball of this content, and check what came of it."""
    job = tally.job()
    visit, folder = job.visit, tally.root / PROJECT
    before = paths(tally.root.parent)
    (folder / visit.tarball).write_bytes(content)
    try:
        fetch.run(job)
        index_tar.run(job)
        write_json.run(job)
        outcome = export_repo.run(job, tally.keys)
    except PermanentError as error:
        # Any other exception, of ours or not, fails the test.
        tally.ends[type(error).__name__ if error.message and error.hint else "mute"] += 1
        left = paths(tally.root.parent) - before
        new = {path for path in left if ".icfqueue" not in path}
        assert new == {f"store/{PROJECT}/{visit.tarball}"}
        job.store.forget_work(visit)
        (folder / visit.tarball).unlink()
        return
    tally.ends["complete"] += 1
    assert outcome.dicoms
    tally.fetched += check_comes_back(job)
    job.store.forget_work(visit)
    names = (visit.tarball, visit.metadata_tarball, visit.metadata_dicoms)
    names = (*names, visit.refs, visit.repo_export)
    assert paths(tally.root.parent) - before == {f"store/{PROJECT}/{n}" for n in names}
    if left := tally.keep(visit):
        for path in folder.glob(f"{left.id}_*"):
            path.unlink()


def check_comes_back(job: Job) -> int:
    """Read every promised image as the archivist does; return how many there are."""
    from datalad_next.archive_operations import TarArchiveOperations
    from datalad_next.types.archivist import ArchivistLocator

    records = json.loads(job.store.path(job.visit, job.visit.metadata_dicoms).read_bytes())
    repo = datasets.unpacked(job, job.store.root.parent / "repo" / job.visit.id)
    tree, logs = datasets.tree(repo, "master"), datasets.tree(repo, "git-annex")
    links = {path: e.content for path, e in tree.items() if e.mode == b"120000"}
    promised = {record["path"].encode(): record for record in records}
    assert links.keys() == promised.keys() | {job.visit.dspath.encode()}
    urls: dict[str, list[str]] = {}
    for path, entry in logs.items():
        if path.endswith(b".log.web"):
            key = PurePosixPath(path.decode()).name.removesuffix(".log.web")
            urls[key] = [
                line.split(" ", 2)[2] for line in entry.content.decode().splitlines()
            ]
    with TarArchiveOperations(job.store.path(job.visit, job.visit.tarball)) as archive:
        for path, record in promised.items():
            key = links[path].rpartition(b"/")[2].decode()
            for url in urls[key]:
                locator = ArchivistLocator.from_str(url.removeprefix(":"))
                with archive.open(locator.member) as member:
                    content = member.read()
                assert hashlib.md5(content).hexdigest() == record["md5"], url
                assert len(content) == record["size"] == locator.size
            assert any(f"#path={record['path']}&" in url for url in urls[key])
    for found in sorted(repo.rglob("*"), reverse=True):
        found.rmdir() if found.is_dir() else found.unlink()
    repo.rmdir()
    repo.parent.rmdir()
    return len(promised)


def of_tarballs(count: int) -> Callable[[Callable[[bytes], None]], Callable[[], None]]:
    """Have a function called with so many tarballs, those of the seed."""

    def drawn(do: Callable[[bytes], None]) -> Callable[[], None]:
        settings = hypothesis.settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        return hypothesis.seed(SEED)(settings(given(tarballs())(do)))

    return drawn


@pytest.fixture
def tally(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tally]:
    monkeypatch.setenv("PATH", programs.search_path())
    root = tmp_path / "all" / "store"
    (root / PROJECT).mkdir(parents=True)
    with FaultyStore(root, auth=False) as web, KeySource() as keys:
        yield Tally(root, web.url, keys, random.Random(SEED))


def test_every_tarball_ends_with_an_error_of_ours_or_is_fetched_back(
    tally: Tally, tmp_path: Path
) -> None:
    """No other exception, no file outside, no promise that is not kept."""

    @of_tarballs(TARBALLS)
    def run(content: bytes) -> None:
        try_one(tally, content)

    run()
    sys.stdout.write(
        f"chaos: {tally.count} tarballs: {dict(tally.ends)}, {tally.fetched} images\n"
    )
    assert not tally.ends["mute"]
    assert tally.complete >= TARBALLS // 4
    assert tally.ends["BadTarball"] >= TARBALLS // 10
    for visit in tally.sample:
        clone_and_get(tally, visit, tmp_path / "clones" / visit.id)


def ended(job: Job, keys: KeySource) -> tuple[str, ...] | dict[str, str]:
    """Do the steps; return the error that they end with, or path to MD5 of all outputs."""
    visit, folder = job.visit, job.store.root / PROJECT
    try:
        streamed = fetch.run(job).streamed
        index_tar.run(replace(job, streamed=streamed))
        write_json.run(job)
        export_repo.run(job, keys)
    except PermanentError as error:
        assert streams.outputs(folder).keys() <= {".icfqueue", f".icfqueue/{visit.id}"}
        # What helps may differ: of one that was streamed there is no file.
        return type(error).__name__, error.message, error.cause
    finally:
        job.store.forget_work(visit)
        found = streams.outputs(folder)
        for path in folder.glob(f"{visit.id}_*"):
            path.unlink()
    return found


def test_what_is_streamed_ends_as_what_is_here(tally: Tally, tmp_path: Path) -> None:
    """With the same error, or the same bytes; over connections that break off."""
    root = tmp_path / "streamed" / "store"
    web_root = tmp_path / "web"
    for folder in (root, web_root):
        (folder / PROJECT).mkdir(parents=True)
    ends: Counter[bool] = Counter()
    with FaultyStore(web_root, auth=False) as web:
        web.fail("cut", path="*_dicom.tar", method="GET", after=9_000, times=None)

        @of_tarballs(STREAMS)
        def run(content: bytes) -> None:
            local = tally.job()
            local = replace(local, options=Options(web.url))
            tarball = web_root / PROJECT / local.visit.tarball
            tarball.write_bytes(content)
            streams.put_md5(tarball)
            (tally.root / PROJECT / tarball.name).write_bytes(content)
            expected = ended(local, tally.keys)
            streamed = replace(streams.stream(local), store=Store(root))
            assert ended(streamed, tally.keys) == expected
            ends[isinstance(expected, dict)] += 1

        run()
    assert min(ends.values()) >= STREAMS // 10, ends


def clone_and_get(tally: Tally, visit: Visit, target: Path) -> None:
    """Clone the deposit by DataLad, get all of it, and compare with the list."""
    target.parent.mkdir(exist_ok=True)
    url = deposit.clone_url(tally.url, visit)
    for command, cwd in (
        (["datalad", "clone", url, str(target)], target.parent),
        (["datalad", "get", "."], target),
    ):
        done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    records = json.loads((tally.root / PROJECT / visit.metadata_dicoms).read_bytes())
    for record in records:
        content = (target / record["path"]).read_bytes()
        assert hashlib.md5(content).hexdigest() == record["md5"]
