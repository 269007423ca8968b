"""What stands in both branches, against git-annex's own hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from support.datasets import EMPTY_TAGS, git, tree
from support.guards import CountingGuard

from icfqueue.core.guard import UNGUARDED
from icfqueue.dataset import branches, repository
from icfqueue.dataset.annex_keys import AnnexKey
from icfqueue.dataset.branches import Contents, Dicom

VALUES = [
    "plain",
    "two words",
    "tab\tinside",
    "line\nend",
    "cr\rinside",
    "!exclamation",
    "in!side",
    "+plus",
    "-minus +x",
    "a=b",
    "ünïcödé",
    "漢字 \U0001f9e0",
    "\x01",
    "\x00nul",
    "no\u00a0break",
    "em\u2003space",
    "vertical\x0b or\x0cfeed",
    "back\\slash\\n",
    '"quoted"',
    "1.5",
    "x" * 5000,
]


def record(**tags: object) -> dict[str, object]:
    return {**EMPTY_TAGS, **tags}


def test_a_metadata_log_is_byte_for_byte_what_git_annex_writes(tmp_path: Path) -> None:
    """Spaces, line ends, exclamation marks, NUL, non-ASCII; one value and many."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "annex", "init", "-q", "here")
    sets = [*([value] for value in VALUES), VALUES]
    for number in range(len(sets)):
        (tmp_path / f"{number:03d}").write_bytes(b"%d" % number)
    git(tmp_path, "annex", "add", "-q", ".")
    questions = [
        {
            "file": f"{number:03d}",
            "fields": {"seriesdescription": values, "modality": ["MR"]},
        }
        for number, values in enumerate(sets)
    ]
    lines = "".join(json.dumps(question) + "\n" for question in questions).encode()
    answers = git(tmp_path, "annex", "metadata", "--batch", "--json", stdin=lines)
    git(tmp_path, "annex", "merge")
    logs = tree(tmp_path, "git-annex")
    for answer, values in zip(answers.splitlines(), sets, strict=True):
        key = json.loads(answer)["key"].encode()
        [theirs] = [
            entry.content
            for path, entry in logs.items()
            if path.endswith(key + b".log.met")
        ]
        fields = branches.fields(record(SeriesDescription=values, Modality="MR"))
        assert branches.metadata_log(theirs.split(b" ")[0], fields) == theirs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ()),
        ("  ", ()),
        (" padded ", {b"padded"}),
        (7, {b"7"}),
        (0, {b"0"}),
        (1.5, {b"1.5"}),
        (["A", "B"], {b"A", b"B"}),
        (["A", "", " A "], {b"A"}),
        ([1, 2], {b"1", b"2"}),
        ([], ()),
        ("lone \ud800", {b"lone ?"}),
    ],
)
def test_a_tag_becomes_a_set_of_values(given: object, expected: set[bytes]) -> None:
    """Several values stay several, padding goes, nothing becomes nothing."""
    found = dict(branches.fields(record(SeriesNumber=given)))
    assert found.get("seriesnumber", ()) == expected
    assert dict(branches.fields(record(ProtocolName=given))) == (
        {"protocolname": expected} if expected else {}
    )


def contents(paths: list[bytes], **changes: Any) -> Contents:
    """Return a dataset with a file at each of `paths`, all of different content."""
    dicoms = [
        Dicom(path, AnnexKey(b"MD5E-s1--%d" % number, b"000/001/", b"aA/bB/"), 1, ())
        for number, path in enumerate(paths)
    ]
    made = Contents(
        title="title",
        when=1_000,
        dataset=UUID(int=1),
        uncurl=UUID(int=2),
        archivist=UUID(int=3),
        tarball=AnnexKey(b"MD5E-s9--0.tar", b"000/001/", b"cC/dD/"),
        tarball_path=b"icf/v_dicom.tar",
        tarball_url=b"https://store.example.org/p/v_dicom.tar",
        dicoms=dicoms,
    )
    return replace(made, **changes)


def imported(made: Contents, folder: Path) -> Path:
    repo = repository.make_bare(folder)
    repository.fast_import(repo, branches.stream(made, UNGUARDED), UNGUARDED)
    return repo


def test_any_byte_that_a_name_may_hold_reaches_the_tree(tmp_path: Path) -> None:
    """Quotes, backslashes, tabs, bytes that are no UTF-8; links lead to the annex."""
    paths = [
        b"plain",
        b'"quoted"',
        b"back\\slash\\n",
        b"tab\there",
        b"new\nline",
        b" space ",
        b"deep/er/and/er",
        b"\xff\xfe",
        bytes(range(1, 47)) + bytes(range(48, 256)),
    ]
    repo = imported(contents(paths), tmp_path / "repo")
    found = tree(repo, "master")
    assert set(paths) < set(found)
    for path in paths:
        mode, target = found[path]
        assert mode == b"120000"
        assert target.startswith(b"../" * path.count(b"/") + b".git/annex/objects/aA/bB/")
    assert found[b".datalad/config"].content.endswith(f"id = {UUID(int=1)}\n".encode())


def test_files_of_equal_content_share_one_record(tmp_path: Path) -> None:
    """Two paths with one key: both URLs, and the union of their metadata."""
    key = AnnexKey(b"MD5E-s1--1.dcm", b"000/001/", b"aA/bB/")
    dicoms = [
        Dicom(b"b", key, 1, branches.fields(record(SeriesNumber=1, Modality="MR"))),
        Dicom(b"a", key, 1, branches.fields(record(SeriesNumber=2, Modality="MR"))),
    ]
    repo = imported(contents([], dicoms=dicoms), tmp_path / "repo")
    logs = tree(repo, "git-annex")
    place = b"000/001/MD5E-s1--1.dcm.log"
    assert logs[place + b".met"].content == b"1000s modality +MR seriesnumber +1 +2\n"
    assert logs[place + b".web"].content.splitlines() == [
        b"1000s 1 :dl+archive:MD5E-s9--0.tar#path=a&size=1",
        b"1000s 1 :dl+archive:MD5E-s9--0.tar#path=b&size=1",
    ]


def test_progress_counts_each_dicom_once() -> None:
    guard = CountingGuard()
    made = contents([b"%d" % number for number in range(1234)])
    assert b"".join(branches.stream(made, guard)).endswith(b"done\n")
    assert guard.dicoms == 1234
