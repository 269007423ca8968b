"""An old dataset as a base: what it says, and what a new one takes back of it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from support.datasets import git, tree

from icfqueue.core.errors import ToolFailed
from icfqueue.core.guard import UNGUARDED
from icfqueue.dataset import branches, history, repository
from icfqueue.dataset.annex_keys import AnnexKey
from icfqueue.dataset.branches import Contents, Dicom
from icfqueue.dataset.history import Base, KeyLogs
from icfqueue.outputs import deposit

MD5S = [f"{n:032x}" for n in range(4)]


def key(number: int) -> AnnexKey:
    name = f"MD5E-s7--{MD5S[number]}.dcm".encode()
    return AnnexKey(name, b"00%d/001/" % number, b"aA/b%d/" % number)


def dataset(numbers: list[int], tarball: bytes, base: Base | None = None) -> Contents:
    """Return a dataset of some of four images, each at a place of its own."""
    dicoms = [Dicom(b"%d.dcm" % n, key(n), 7, (), 512 + n * 1024) for n in numbers]
    return Contents(
        title="title",
        when=base.when + 1 if base else 1_000,
        dataset=UUID(int=1),
        uncurl=UUID(int=2),
        archivist=UUID(int=3),
        tarball=AnnexKey(b"MD5E-s9--%s.tar" % tarball, b"fff/001/", b"cC/dD/"),
        tarball_path=b"icf/v_dicom.tar",
        tarball_url=b"https://store.example.org/p/v_dicom.tar",
        dicoms=dicoms,
        base=base,
    )


def grown(repo: Path, contents: Contents) -> Base:
    """Write a dataset into the repository, and read it as the base of the next one."""
    repository.fast_import(repo, branches.stream(contents, UNGUARDED), UNGUARDED)
    refs = {
        ref: git(repo, "rev-parse", ref).decode().strip()
        for ref in (deposit.HEAD, history.ANNEX)
    }
    return history.read_base(repo, refs, "m" * 32, UNGUARDED)


def lines(repo: Path, name: bytes) -> dict[bytes, list[bytes]]:
    """Return the lines of every file of the git-annex branch that belongs to a key."""
    found = tree(repo, "git-annex").items()
    return {
        path.rpartition(name)[2]: entry.content.splitlines()
        for path, entry in found
        if name in path
    }


def test_a_base_tells_what_its_git_annex_branch_says(repo: Path) -> None:
    base = grown(repo, dataset([0, 1], b"a"))
    assert base.when == 1_000
    assert set(base.logs) == {key(0).name, key(1).name, b"MD5E-s9--a.tar"}
    one = base.logs[key(1).name]
    assert one.place == b"001/001/" + key(1).name
    assert one.remotes == {str(UUID(int=3)).encode()}
    assert one.urls == {b":dl+archive:MD5E-s9--a.tar#path=1.dcm&size=7"}
    assert one.offsets == (512 + 1024,)


def test_what_is_gone_stays_unset_in_all_later_ones(repo: Path) -> None:
    """A clone may have skipped those between, and merges branches line by line."""
    first = grown(repo, dataset([0, 1], b"a"))
    second = grown(repo, dataset([1, 2], b"b", first))
    grown(repo, dataset([1, 3], b"c", second))
    assert int(git(repo, "rev-list", "--count", "git-annex")) == 3
    archivist = str(UUID(int=3)).encode()
    for gone in (key(0), key(2)):
        when = {key(0): b"1001s", key(2): b"1002s"}[gone]
        found = lines(repo, gone.name)
        assert found[b".log"] == [when + b" 0 " + archivist]
        (url,) = found[b".log.web"]
        assert url.startswith(when + b" 0 :dl+archive:")
        assert b".log.rmt" not in found
    urls = lines(repo, key(1).name)[b".log.web"]
    assert [line.split(b" ")[1] for line in urls] == [b"1", b"0", b"0"]
    assert b"--c.tar" in urls[0]
    assert b"--a.tar" in urls[1]
    assert b"--b.tar" in urls[2]


def test_what_says_the_same_keeps_its_time(repo: Path) -> None:
    first = grown(repo, dataset([0], b"a"))
    grown(repo, dataset([0, 1], b"a", first))
    for ending, said in lines(repo, key(0).name).items():
        assert [line[:6] for line in said] == [b"1000s "], ending
    for ending, said in lines(repo, key(1).name).items():
        assert [line[:6] for line in said] == [b"1001s "], ending
    assert first.unless_new(b"nothing", b"1001s x\n", b"1001s") == b"1001s x\n"


def test_a_key_that_comes_back_is_there_again(repo: Path) -> None:
    first = grown(repo, dataset([0], b"a"))
    second = grown(repo, dataset([1], b"b", first))
    grown(repo, dataset([0], b"a", second))
    found = lines(repo, key(0).name)
    assert found[b".log"] == [b"1002s 1 " + str(UUID(int=3)).encode()]
    assert [line.split(b" ")[1] for line in found[b".log.web"]] == [b"1"]


def test_places_are_those_of_the_records_or_none(repo: Path) -> None:
    base = grown(repo, dataset([0, 1], b"a"))
    records = [{"size": 7, "md5": MD5S[n]} for n in (1, 0)]
    assert history.offsets_of(base, records) == [1536, 512]
    assert history.offsets_of(base, [*records, {"size": 7, "md5": MD5S[2]}]) is None


def test_files_of_equal_content_have_each_their_own_place() -> None:
    place = b"000/001/" + key(0).name
    base = Base({}, "", 0, {key(0).name: KeyLogs(place, offsets=(512, 4096))})
    same = {"size": 7, "md5": MD5S[0]}
    assert history.offsets_of(base, [same, same]) == [512, 4096]
    assert history.offsets_of(base, [same] * 3) is None


def test_missing_objects_and_foreign_branches_are_no_base(repo: Path) -> None:
    base = grown(repo, dataset([0], b"a"))
    master = base.refs[deposit.HEAD]
    with pytest.raises(ValueError, match="git-annex"):
        history.read_base(repo, {deposit.HEAD: master}, "", UNGUARDED)
    with pytest.raises(ToolFailed):
        history.read_base(repo, {**base.refs, history.ANNEX: "0" * 40}, "", UNGUARDED)
    git(repo, "update-ref", "refs/heads/other", master)
    stream = (
        b"commit refs/heads/odd\ncommitter a <a> 1 +0000\ndata 0\nM 100644 inline x.log\n"
    )
    git(repo, "fast-import", "--quiet", stdin=stream + b"data 4\nodd\n\n")
    odd = git(repo, "rev-parse", "odd").decode().strip()
    with pytest.raises(ValueError, match="unpack"):
        history.read_base(repo, {**base.refs, history.ANNEX: odd}, "", UNGUARDED)
