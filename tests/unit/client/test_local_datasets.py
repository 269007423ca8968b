"""What is in a store directory here is cloned from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from icfqueue.client.clones import Wanted
from icfqueue.client.local_datasets import wanted_path
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit
from icfqueue.outputs.deposit import HEAD, clone_url, refs_text

REFS = refs_text({HEAD: "a" * 40, "refs/heads/git-annex": "b" * 40})


def test_a_dataset_in_a_store_directory_here_is_wanted_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's folder, or a visit's name in it; the web is not asked."""
    folder = tmp_path / "my store" / "p"
    folder.mkdir(parents=True)
    for name in ("XDLRA--refs", "visit_1_XDLRA--refs"):
        (folder / name).write_bytes(REFS)
    where = f"file://{tmp_path}/my%20store"
    assert wanted_path(folder) == Wanted(clone_url(where, "p"), "p")
    visit = Visit("p", "visit_1")
    assert wanted_path(folder / "visit_1") == Wanted(clone_url(where, visit), "visit_1")
    monkeypatch.chdir(folder)
    assert wanted_path(Path("../p")).url == clone_url(where, "p")
    assert wanted_path(Path("./visit_1")).url == clone_url(where, visit)
    for path in (folder / "visit_2", tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(UsageError, match="there is no dataset at"):
            wanted_path(path)
