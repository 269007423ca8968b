"""The demonstration, as `make demo` runs it."""

from __future__ import annotations

from pathlib import Path

from support.commands import Icfqueue


def test_the_demonstration_shows_the_whole_way_and_does_so_again(tmp_path: Path) -> None:
    icfqueue = Icfqueue(tmp_path, {"HOME": str(tmp_path / "empty")})
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "demo-store"
    for visits in ("1", "2"):
        told = icfqueue.good("demo", "--folder", str(folder), "--visits", visits)
        assert f"{visits} done" in told
        assert "the same" in told
        assert f"the catalog  {folder / 'store/study_1/catalog'}" in told
        assert (folder / "store/study_1/catalog/index.html").exists()
    assert not list((tmp_path / "empty").iterdir())
