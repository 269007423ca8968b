"""A deposit, served over HTTP with a password, is cloned and gives its images back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support import datasets
from support.datasets import call

from icfqueue.core.errors import BadTarball
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import build_project, write_tar
from icfqueue.outputs import deposit, metadata_files
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

AWKWARD = [
    " leading and trailing space ",
    "-dash.dcm",
    "--help",
    "tab\there",
    "'single' \"double\" `back`",
    "{braces} {0} {{x}} ${HOME} $(x)",
    "100%.dcm",
    "%41%2F%2541.dcm",
    "what?.dcm",
    "back\\slash\\n.dcm",
    "colon:semi;comma,equals=plus+at@.dcm",
    "size=3",
    "[brackets]*star!|pipe<>^~",
    "ünïcödé é.dcm",
    "e\u0301 decomposed",
    "\u00a0no-break\u2003em\u2028line\u3000wide",
    "漢字.DCM",
    "\U0001f9e0.IMA",
    "\u0645\u0631\u062d\u0628\u0627",
    "x" * 255,
    "ü" * 127,
    "dots...",
    "a.tar.gz",
    "..hidden",
    "\\",
    "MR.1.3.46.670589.11.38317.5.0.4476.2014042516042547586",
]
"""Names that are allowed; each must come back by content."""


@pytest.fixture
def job(web: DemoStore, make_job: Callable[..., Job]) -> Job:
    return make_job("visit_1", store_url=web.url)


def clone(job: Job, target: Path) -> Path:
    """Clone as a user does, by the address that the catalog shows."""
    url = deposit.clone_url(job.options.store_url, job.visit)
    call("datalad", "clone", url, target, cwd=target.parent)
    return target


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_deposit_is_cloned_checked_fetched_and_viewed(
    web: DemoStore, store: Store, settings: Settings, tmp_path: Path
) -> None:
    [visit] = build_project(store.root, "study_1", 1)
    job = Job(visit, Options(store_url=web.url), store, settings)
    for step in (index_tar, write_json, export_repo):
        step.run(job)
    here = clone(job, tmp_path / "clone")
    assert web.count(status=401)
    assert web.count("GET", f"/study_1/{visit.refs}", 200)
    records = metadata_files.read_dicoms(store, visit)
    found = deposit.read(store, visit)
    assert found is not None
    assert call("git", "rev-parse", "HEAD", cwd=here).strip() == found.refs[deposit.HEAD]
    assert len(call("git", "annex", "find", "--anything", cwd=here).splitlines()) == (
        1 + len(records)
    )
    call("git", "annex", "fsck", "--fast", "--quiet", cwd=here)
    whereis = call("git", "annex", "whereis", records[0]["path"], cwd=here)
    assert "[archivist]" in whereis
    wanted = records[:3]
    call("datalad", "get", *(record["path"] for record in wanted), cwd=here)
    assert web.count("GET", f"/{visit.storepath}", 200) == 1
    for record in wanted:
        assert md5(here / record["path"]) == record["md5"]
    call("git", "annex", "fsck", "--quiet", cwd=here)
    call("datalad", "get", visit.dspath, cwd=here)
    call("git", "annex", "view", "protocolname=*", "seriesnumber=*", cwd=here)
    shown = [path for path in here.rglob("*.dcm") if path.is_symlink()]
    protocols = {
        (str(r["ProtocolName"]).replace("/", "\u2215"), str(r["SeriesNumber"]))
        for r in records
    }
    assert {path.parent.relative_to(here).parts for path in shown} == protocols
    assert len(shown) == len(records)
    assert call("git", "status", "--porcelain", cwd=here) == ""


REFUSED = {
    "a&b.dcm": "a&b.dcm",
    "a#b.dcm": "a#b.dcm",
    "./dot.dcm": "dot.dcm",
    "a//slashes.dcm": "a/slashes.dcm",
}
"""Names of members that `index_tar` refuses, and the paths that they would have."""


def test_allowed_names_come_back_by_content_and_refused_ones_could_not(
    job: Job, tmp_path: Path
) -> None:
    """Why `index_tar` refuses the latter: all look sound, but `datalad get` fails."""
    good = [*AWKWARD, *(f"top dir/{n:02d}/{name}" for n, name in enumerate(AWKWARD))]
    names = {**{name: name for name in good}, **REFUSED}
    contents = dict(zip(names, datasets.images(len(names)), strict=True))
    tarball = job.store.path(job.visit, job.visit.tarball)
    for refused in REFUSED:
        write_tar(tarball, [(refused, contents[refused])])
        with pytest.raises(BadTarball):
            index_tar.run(job)
    datasets.put_visit(job, ((name, contents[name]) for name in good))
    assert len(metadata_files.read_dicoms(job.store, job.visit)) == len(good)
    write_tar(tarball, contents.items())
    records = [
        {
            "path": path,
            "size": len(contents[name]),
            "md5": hashlib.md5(contents[name]).hexdigest(),
        }
        for name, path in names.items()
    ]
    datasets.put_metadata(job, records, tarball=tarball.read_bytes())
    export_repo.run(job)
    here = clone(job, tmp_path / "clone")
    call("git", "annex", "fsck", "--fast", "--quiet", cwd=here)
    with pytest.raises(AssertionError, match="get"):
        call("datalad", "get", ".", cwd=here)
    assert {name for name, path in names.items() if (here / path).exists()} == set(good)
    for name in good:
        assert (here / name).read_bytes() == contents[name], name
    call("git", "annex", "fsck", "--quiet", cwd=here)


@pytest.mark.parametrize("member", REFUSED)
def test_an_archive_address_cannot_name_what_is_refused(member: str) -> None:
    """DataLad reads another path out of it, or none: there is no quoting to use."""
    from datalad_next.types.archivist import ArchivistLocator

    address = f"dl+archive:MD5E-s1--{0:032}.tar#path={member}&size=1"
    try:
        read = str(ArchivistLocator.from_str(address).member)
    except ValueError:
        read = ""
    assert read != member
