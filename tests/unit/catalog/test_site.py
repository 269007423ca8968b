"""The catalog's own files: settings, logo, schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from icfqueue.catalog import pages, site
from icfqueue.core.errors import PermanentError
from icfqueue.core.settings import Settings

PROJECT = "study_1"


def make(folder: Path, settings: Settings) -> Path:
    """Make a site in a folder of its own."""
    folder.mkdir(exist_ok=True)
    site.make_site(
        folder / "catalog", project=PROJECT, dataset_id="the-study", settings=settings
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
