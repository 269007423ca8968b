"""A page asks no other host for anything, or no catalog is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from icfqueue.catalog import site, site_patches
from icfqueue.core.errors import PermanentError
from icfqueue.core.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


def make(folder: Path, settings: Settings) -> str:
    """Make a site and return its index page."""
    site.make_site(folder, project="study_1", dataset_id="id", settings=settings)
    return (folder / "index.html").read_text()


def test_no_file_that_a_page_loads_names_another_host(
    folder: Path, settings: Settings
) -> None:
    index = make(folder, settings)
    texts = [folder / "index.html", *(folder / "templates").iterdir()]
    texts += (folder / "assets").glob("app*.js")
    loads = re.compile(r"""(?:src|href)=["']?https?:""")
    words = re.compile(r"unpkg|mybinder|youtube|fosstodon|jsdelivr|@datalad")
    for path in texts:
        assert not loads.search(path.read_text()), path
        assert not words.search(path.read_text()), path
    assert "//" not in index.replace("<!--", "").replace("-->", "")
    assert site_patches.CONTENT_SECURITY in index


def test_the_browser_itself_is_told_to_refuse_other_hosts() -> None:
    rules = dict(
        rule.strip().split(" ", 1) for rule in site_patches.CONTENT_SECURITY.split(";")
    )
    assert rules["default-src"] == "'self'"
    assert "http" not in site_patches.CONTENT_SECURITY
    assert "*" not in site_patches.CONTENT_SECURITY


def test_files_that_no_page_loads_are_gone(folder: Path, settings: Settings) -> None:
    make(folder, settings)
    assert not any((folder / name).exists() for name in site_patches.UNUSED)


def test_names_in_the_page_are_no_html_and_no_template(
    folder: Path, settings: Settings
) -> None:
    name = "<b>{{1+1}}</b>"
    index = make(folder, structs.replace(settings, catalog_name=name))
    assert name not in index
    assert "<span v-pre" in index
    assert "&lt;b&gt;" in index


def test_unknown_page_of_another_datalad_catalog_is_refused() -> None:
    patch = site_patches.Patch("index.html", "<script src=x>", "", end="</script>")
    for text in ("nothing", "<script src=x>", "<script src=x></script>" * 2):
        with pytest.raises(PermanentError, match="not the known one"):
            patch.apply(text)
    assert patch.apply("a<script src=x>b</script>c") == "ac"


@pytest.mark.parametrize("times", [1, 3])
def test_a_piece_is_replaced_as_often_as_is_known(times: int) -> None:
    patch = site_patches.Patch("x.js", "old", "new", times=times)
    assert patch.apply("old;" * times) == "new;" * times
    with pytest.raises(PermanentError, match=rf"not there {times} time"):
        patch.apply("old;" * (times + 1))


def test_a_package_with_another_page_makes_no_half_changed_one(
    folder: Path, settings: Settings
) -> None:
    """Nothing is written before all is known."""
    make(folder, settings)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(PermanentError, match="datalad-catalog") as caught:
        # Patched already: the pieces are not there any more.
        site_patches.apply(folder, title="x", heading="y")
    assert "1.1.1" in caught.value.hint
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
