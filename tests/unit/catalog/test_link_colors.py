"""Links can be read on light and on dark, whatever color was chosen for them."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from icfqueue.catalog import link_colors, site
from icfqueue.core.settings import Settings


@pytest.mark.parametrize("color", ["#000000", "#ffffff", "#fba304", "#007eb1", "#808080"])
@pytest.mark.parametrize("on", [link_colors.LIGHT, link_colors.DARK])
def test_any_color_becomes_one_that_can_be_read(color: str, on: tuple[str, ...]) -> None:
    made = link_colors.readable(color, on)
    assert re.fullmatch("#[0-9a-f]{6}", made)
    for behind in on:
        found = link_colors.contrast(link_colors._rgb(made), link_colors._rgb(behind))
        assert found >= link_colors.CONTRAST


def test_a_color_that_can_be_read_stays() -> None:
    assert link_colors.readable("#023d6b", link_colors.LIGHT) == "#023d6b"


def test_contrast_is_that_of_wcag() -> None:
    black, white, gray = (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), (119.0, 119.0, 119.0)
    assert link_colors.contrast(black, white) == pytest.approx(21)
    assert link_colors.contrast(gray, white) == pytest.approx(4.48, abs=0.01)


def test_style_sheet_has_both_colors_for_both_backgrounds(settings: Settings) -> None:
    chosen = structs.replace(
        settings, catalog_link_color="#112233", catalog_link_hover_color="#445566"
    )
    found = dict(re.findall(r"--([a-z-]+): (#\w+);", link_colors.style_sheet(chosen)))
    assert set(found) == {"link-light", "link-dark", "hover-light", "hover-dark"}
    assert (found["link-light"], found["hover-light"]) == ("#112233", "#445566")


def test_backgrounds_are_those_of_the_style_sheet() -> None:
    sheet = (site.OUR_FILES / "catalog/pages.css").read_text()
    behind = re.findall(r"--(?:back|raised): (#\w+);", sheet)
    assert behind == [*link_colors.LIGHT, *link_colors.DARK]
