"""The page over all projects: what it shows, and that it runs nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from support.superdatasets import URL, put_deposits, remove_deposit

from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import entries, renewal
from icfqueue.outputs.deposit import clone_url
from icfqueue.serve import landing
from icfqueue.serve.landing import Landing
from icfqueue.store.directory import Store

ADDRESS = "http://127.0.0.1:8000"


class Page(HTMLParser):
    """Texts of a page by the tag that they are in, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self._last = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._last = tag
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._last, []).append(data.strip())


def shown(store: Store, name: str = "Studies") -> Page:
    return Page(Landing(store, name).page(ADDRESS))


@pytest.fixture
def store(store: Store) -> Store:
    put_deposits(store, "study_1", ["v1", "v2"])
    renewal.renew(store, "study_1", None, URL)
    (store.catalog_dir("study_1")).mkdir()
    (store.catalog_dir("study_1") / "index.html").touch()
    put_deposits(store, "study_2", ["v1"])
    for name in (".icfqueue", "not a project"):
        (store.root / name).mkdir()
    (store.root / "file").touch()
    return store


def test_each_project_has_its_visits_links_and_command(store: Store) -> None:
    found = shown(store)
    assert found.texts["h1"][0] == "Studies"
    assert [text for text in found.texts["h2"] if text] == ["study_1", "study_2"]
    assert {"2 projects", "2 visits", "1 visit"} <= set(found.texts["p"])
    assert found.links == ["study_1/catalog/", "study_1/", "study_2/"]
    # The second one has no dataset of all its visits.
    command = f"datalad clone '{clone_url(ADDRESS, 'study_1')}' study_1"
    assert [text for text in found.texts["code"] if text] == [command]


def test_it_has_no_script_and_asks_no_other_host(store: Store) -> None:
    text = Landing(store, "Studies").page(ADDRESS)
    found = Page(text)
    assert not {"script", "img", "link", "iframe", "form"} & set(found.tags)
    assert not any("//" in link for link in found.links)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    sha = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{sha}'" in landing.POLICY
    assert "default-src 'none'" in landing.POLICY


def test_what_a_site_calls_itself_is_no_html(store: Store) -> None:
    text = Landing(store, "<script>alert(1)</script>").page("http://x'><b>")
    assert "<script" not in text
    assert "<b>" not in text


def test_a_store_without_projects_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Store(tmp_path_factory.mktemp("empty"))
    assert "0 projects" in shown(empty).texts["p"]


def test_visits_are_counted_anew_only_when_the_folder_has_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    real = entries.deposited

    def deposited(*given: Any) -> set[Visit]:
        counted.append(str(given[1]))
        return real(*given)

    monkeypatch.setattr(landing, "deposited", deposited)
    made = Landing(store, "Studies")
    made.page(ADDRESS)
    made.page(ADDRESS)
    assert counted == ["study_1", "study_2"]
    remove_deposit(store, Visit("study_1", "v2"))
    assert made.page(ADDRESS).count("<p>1 visit</p>") == 2
    assert counted == ["study_1", "study_2", "study_1"]


def test_a_link_in_the_place_of_a_project_or_catalog_is_not_shown(store: Store) -> None:
    (store.root / "study_3").symlink_to(store.root / "study_1")
    (store.catalog_dir("study_2")).symlink_to(store.catalog_dir("study_1"))
    assert shown(store).links == ["study_1/catalog/", "study_1/", "study_2/"]
