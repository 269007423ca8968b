"""``icfqueue repack``: what it says."""

from __future__ import annotations

import pytest
from support.command_line import Commands
from support.folders import image

from icfqueue.cli.commands import repack as module
from icfqueue.core.errors import BadTarball
from icfqueue.demo.visits import write_tar


def test_it_says_what_was_changed_and_how_to_go_on(
    icfqueue: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = icfqueue.store.root
    (root / "study_1").mkdir()
    tarball = root / "study_1/visit_1_dicom.tar"
    write_tar(tarball, [(f"p/{name}", image(1)) for name in ("a&b", "c\n", "d#", "e")])
    where = ["--store-dir", str(root)]
    monkeypatch.setattr(module, "SHOWN", 2)
    done = icfqueue.plain("repack", "study_1", "visit_1", *where)
    lines = done.out.splitlines()
    assert lines[0] == (
        "'p/a&b' has '&' or '#' in its path, which DataLad's archive address cannot carry: "
        "now 'p/a_b'"
    )
    assert lines[1] == "'p/c\\n' has a control character in its path: now 'p/c_'"
    assert lines[2] == "… and 1 more"
    assert lines[3].startswith("study_1/visit_1: 4 DICOMs, 10.2 kB, MD5 ")
    assert lines[4:] == [
        f"new tarball: {tarball}.repacked",
        f"list of changes: {tarball}.repacked.json",
    ]
    done = icfqueue.plain("repack", "study_1", tarball.name, "--replace", *where)
    assert done.out.splitlines()[4:] == [
        f"new tarball: {tarball}",
        f"list of changes: {tarball}.repacked.json",
        f"old tarball: {tarball}.before-repack",
        f"to go on with it: icfqueue run study_1 visit_1 --force --store-dir {root}",
    ]
    done = icfqueue.plain("repack", "study_1", "visit_1", *where)
    assert done.out == "study_1/visit_1: nothing is to be mended; no file was written\n"


def test_its_remedies_are_for_this_visit(icfqueue: Commands) -> None:
    root = icfqueue.store.root
    (root / "study_1").mkdir()
    (root / "study_1/visit_1_dicom.tar").write_bytes(b"\x1f\x8bno gzip")
    with pytest.raises(BadTarball, match=r"visit_1_dicom\.tar is compressed") as caught:
        icfqueue.plain("repack", "study_1", "visit_1", "--store-dir", str(root))
    assert "icfqueue retry study_1 visit_1" in caught.value.hint
