"""The catalog's own files: settings, logo, schema."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from msgspec import structs

from icfqueue.catalog import pages, site
from icfqueue.core.errors import PermanentError
from icfqueue.core.settings import Settings

PROJECT = "study_1"
STORE = "https://data.example.org"


def make(folder: Path, settings: Settings) -> Path:
    """Make a site in a folder of its own."""
    folder.mkdir(exist_ok=True)
    site.make_site(
        folder / "catalog",
        project=PROJECT,
        dataset_id="the-study",
        store_url=STORE,
        settings=settings,
    )
    return folder / "catalog"


def test_a_site_opens_with_the_study_and_has_all_that_a_page_needs(
    tmp_path: Path, settings: Settings
) -> None:
    made = make(tmp_path / "new", settings)
    home = json.loads((made / site.SUPER).read_text())
    assert home == {"dataset_id": "the-study", "dataset_version": pages.VERSION}
    for name in site.LANDMARKS:
        assert (made / name).is_file()
    index = (made / "index.html").read_text()
    wanted = re.findall(r'(?:href|src)="([^"#]+)"', index)
    assert len(wanted) > 8
    assert all((made / name).is_file() for name in wanted)


def test_no_file_of_a_site_names_another_host(tmp_path: Path, settings: Settings) -> None:
    """The pages load nothing from elsewhere, and have no inline script or style."""
    made = make(tmp_path / "new", settings)
    index = (made / "index.html").read_text()
    assert "//" not in index.replace("http://127.0.0.1:8000", "")
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", index)
    for name in (*site.ASSETS, "colors.css"):
        text = (made / "assets" / name).read_text()
        assert not re.search(r"https?://\w|url\(|@import|import\(|eval\(", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write\(|"
            r"DOMParser|srcdoc",
            text.replace("sets innerHTML", ""),
        ), name


def test_the_browser_itself_is_told_to_refuse_other_hosts(
    tmp_path: Path, settings: Settings
) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in site.CONTENT_SECURITY.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) == {"'self'", "'none'"}
    index = (make(tmp_path / "new", settings) / "index.html").read_text()
    assert html.escape(site.CONTENT_SECURITY) in index


def test_names_in_the_page_are_no_html(tmp_path: Path, settings: Settings) -> None:
    chosen = structs.replace(settings, catalog_name='<b>"$project {{1+1}}</b>')
    index = (make(tmp_path / "new", chosen) / "index.html").read_text()
    assert "<b>" not in index
    assert "&lt;b&gt;&quot;$project {{1+1}}&lt;/b&gt;: study_1" in index


def test_readme_says_how_to_serve_and_to_move_the_catalog(
    tmp_path: Path, settings: Settings
) -> None:
    text = (make(tmp_path / "new", settings) / "README.md").read_text()
    assert text.startswith(f"# Catalog of {PROJECT}\n")
    assert "$" not in text
    assert STORE in text
    assert "python3 -m http.server" in text
    found = re.findall(r"^    ([a-z]\w*(?:\.\w+)?/?)(?:,| )", text, re.MULTILINE)
    names = set(found) - {"python3", "icfqueue", "datalad"}
    assert names >= {"index.html", "config.json", "schema/"}
    for name in names:
        assert (tmp_path / "new/catalog" / name).exists(), name


def test_commands_of_datalad_catalog_take_a_site_for_a_catalog(
    tmp_path: Path, settings: Settings
) -> None:
    """Its pages are ours, but the package can still read, check and add."""
    made = make(tmp_path / "new", settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # RefResolver
        from datalad_catalog.webcatalog import WebCatalog

        theirs = WebCatalog(str(made))
        assert theirs.is_created()
        assert theirs.get_main_dataset()["dataset_id"] == "the-study"
        record = pages.study_record(PROJECT, "the-study", [])
        theirs.schema_validator.validate(record)
        theirs.add_record(record)
        assert theirs.get_record("the-study", pages.VERSION)["name"] == PROJECT


def test_another_datalad_catalog_makes_no_half_of_a_site(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "MD5", "md5-9.js")
    with pytest.raises(PermanentError, match=r"assets/md5-9\.js") as caught:
        make(tmp_path / "new", settings)
    assert "pip install" in caught.value.hint


def test_the_settings_of_the_site_go_over_those_of_the_package(
    tmp_path: Path, settings: Settings
) -> None:
    chosen = structs.replace(
        settings,
        catalog_name="Our scans",
        catalog_link_color="#112233",
        catalog_link_hover_color="#445566",
        catalog_export=False,
    )
    config = json.loads((make(tmp_path / "new", chosen) / "config.json").read_text())
    assert config["catalog_name"] == "Our scans"
    assert (config["link_color"], config["link_hover_color"]) == ("#112233", "#445566")
    assert config["dataset_options"] == {"include_metadata_export": False}
    assert config["social_links"]
    assert not any(config["social_links"].values())


def test_record_outside_the_schema_is_refused_without_its_value() -> None:
    record = pages.study_record(PROJECT, "id", [])
    with pytest.raises(PermanentError, match="keywords") as caught:
        site.check_record({**record, "keywords": ["Secret", 5]})
    assert "Secret" not in str(caught.value)


def test_the_schema_needs_no_import_of_datalad_catalog() -> None:
    """Which takes 0.7 s, and would warn of a class that ends."""
    code = (
        "import sys; from icfqueue.catalog import pages, site\n"
        "site.check_record(pages.study_record('study_1', 'id', []))\n"
        "assert 'datalad_catalog' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["logo.txt", "missing.svg", "logo"])
def test_logo_that_cannot_be_used_is_a_clear_error(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    (tmp_path / "logo.txt").touch()
    chosen = structs.replace(settings, catalog_logo=tmp_path / name)
    with pytest.raises(PermanentError, match="logo") as caught:
        make(tmp_path / "new", chosen)
    assert "catalog_logo" in caught.value.hint


def test_own_logo_is_taken(settings: Settings, tmp_path: Path) -> None:
    logo = tmp_path / "Institute.PNG"
    logo.write_bytes(b"\x89PNG")
    made = make(tmp_path / "new", structs.replace(settings, catalog_logo=logo))
    config = json.loads((made / "config.json").read_text())
    assert (made / config["logo_path"]).read_bytes() == b"\x89PNG"
