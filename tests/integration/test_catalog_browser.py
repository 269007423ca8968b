"""The catalog in a real browser: what people see, and whom the pages ask.

Made of tarballs that went through all steps before, and served as a file server would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.browser import Browser, find_browser, open_browser, serve

from icfqueue.catalog import pages, study
from icfqueue.catalog.pages import format_bytes
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.outputs import ids, metadata_files
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.tarball.dicom_tags import NAMES

PROJECT = "demo"
VISITS = 4
MANY = 300

EVIL = "<img src=x onerror=\"document.title='hacked'\">{{6*7}}"
EVIL_URL = "<link rel=stylesheet href=http://other.example/x.css>"
NAME = "Imaging <i>Core</i> {{6*7}}"


@dataclass(frozen=True)
class Site:
    """A store that is served, with catalogs in it."""

    url: str
    """Of the server's root; the store lies in a folder below it."""
    store_url: str
    store: Store
    visits: list[Visit]

    def study(self, project: str = PROJECT) -> str:
        return f"{self.store_url}/{project}/catalog/"

    def of(self, visit: Visit) -> str:
        dataset_id = ids.dataset_id(self.store_url, visit)
        return f"{self.study(visit.project)}#/dataset/{dataset_id}/{pages.VERSION}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    find_browser()
    served = tmp_path_factory.mktemp("served")
    store = Store(served / "sub" / "store")
    store.root.mkdir(parents=True)
    visits = build_project(store.root, PROJECT, VISITS)
    with serve(served) as url:
        store_url = f"{url}/sub/store"
        settings = Settings(store_dir=store.root, catalog_name=NAME, keep_free=0)
        job = Job(visits[0], Options(store_url=store_url), store, settings)
        for visit in visits:
            one = replace(job, visit=visit)
            index_tar.run(one)
            write_json.run(one)
        export_repo.run(job)
        study.add_visits(store, PROJECT, visits, store_url, settings)
        _many(job)
        yield Site(url, store_url, store, visits)


def _many(job: Job) -> None:
    """Make a large study whose DICOM values are hostile."""
    entry = dict.fromkeys(NAMES, "") | {"path": "a", "md5": "0" * 32, "size": 1}
    visits = []
    for number in range(MANY):
        visit = Visit("many", f"v{number:03d}")
        job.store.project_dir("many").mkdir(exist_ok=True)
        tags = {"ProtocolName": [EVIL, EVIL_URL], "SeriesDescription": EVIL}
        dicoms = job.store.path(visit, visit.metadata_dicoms)
        dicoms.write_text(f"[{json.dumps(entry | tags)}]")
        tarball = {"size": 1, "md5": "0" * 32}
        tarball |= {"dspath": visit.dspath, "storepath": visit.storepath}
        job.store.path(visit, visit.metadata_tarball).write_text(json.dumps(tarball))
        visits.append(visit)
    study.add_visits(job.store, "many", visits, job.options.store_url, job.settings)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    site: Site,  # noqa: ARG001 - no browser is started before there is something to see
) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(running: Browser, site: Site) -> Iterator[Browser]:
    """Give an empty page; afterwards, fail on complaints and on requests elsewhere."""
    running.open("about:blank")
    running.requests()
    running.complaints()
    yield running
    assert running.complaints() == []
    asked = running.requests()
    assert asked
    assert {urlsplit(address).netloc for address in asked} == {urlsplit(site.url).netloc}


Screenshot = Callable[[str], None]


@pytest.fixture
def screenshot(browser: Browser) -> Screenshot:
    """Return a taker of pictures, kept where CATALOG_SCREENSHOTS says, for people."""
    folder = os.environ.get("CATALOG_SCREENSHOTS")

    def take(name: str) -> None:
        if folder:
            browser.screenshot(Path(folder) / f"{name}.png")

    return take


def test_study_page_lists_every_visit_with_name_and_sums(
    site: Site, browser: Browser, screenshot: Screenshot
) -> None:
    browser.open(site.study())
    for visit in site.visits:
        browser.wait("h5 a.newlink", visit.id)
    names = [visit.id for visit in site.visits]
    assert browser.texts("h5 a.newlink") == names
    text = browser.text()
    assert f"{NAME}: {PROJECT}" in text
    assert f"Subdatasets ({VISITS})" in text
    told = [metadata_files.read_tarball(site.store, visit) for visit in site.visits]
    total = sum(one.size for one in told if one)
    assert f"Size of all TAR files: {format_bytes(total)}" in text
    screenshot("study")


def test_click_on_a_visit_opens_its_dicom_tab(
    site: Site, browser: Browser, screenshot: Screenshot
) -> None:
    visit = site.visits[1]
    dicoms = metadata_files.read_dicoms(site.store, visit)
    tarball = metadata_files.read_tarball(site.store, visit)
    assert tarball
    browser.open(site.study())
    browser.wait("h5 a.newlink", visit.id).click()
    table = browser.wait("table", "SeriesDescription").text
    for tag in ("SeriesDescription", "SeriesNumber", "Modality"):
        for value in {str(entry[tag]) for entry in dicoms} - {""}:
            assert " ".join(value.split()) in table  # HTML shows a run of spaces as one
    assert "not specified" in table  # a tag that none of these files has
    text = browser.text()
    assert f"Nr of DICOMs: {len(dicoms)}" in text
    assert f"TAR file size: {format_bytes(tarball.size)}" in text
    for keyword in {entry["Modality"] for entry in dicoms}:
        assert keyword in browser.texts("button.rounded-pill")
    screenshot("visit")


def test_home_leads_from_a_visit_to_its_study(site: Site, browser: Browser) -> None:
    browser.open(site.of(site.visits[2]))
    browser.wait("table", "SeriesDescription")
    browser.wait(".fa-home").click()
    browser.wait("h5 a.newlink", site.visits[0].id)
    browser.wait("img[src*=logo]").click()
    browser.wait("h5 a.newlink", site.visits[-1].id)


@pytest.mark.parametrize("tab", ["content", "subdatasets", "dicom", "nonsense"])
def test_each_tab_can_be_opened_by_its_address(
    site: Site, browser: Browser, tab: str
) -> None:
    browser.open(f"{site.of(site.visits[0])}/{tab}")
    shown = "dicom" if tab == "nonsense" else tab
    browser.wait_until(
        "(document.querySelector('a.nav-link.active')?.innerText || '')"
        f".toLowerCase().includes('{shown}')"
    )


def test_clone_command_of_the_page_clones_the_dataset(
    site: Site, browser: Browser, tmp_path: Path, screenshot: Screenshot
) -> None:
    """It is run by a shell as it stands there; braces and ``&`` must survive."""
    visit = site.visits[0]
    browser.open(site.of(visit))
    browser.wait("button", "Download with DataLad").click()
    command = browser.wait("#clone_code", "datalad clone").text
    screenshot("clone")
    here = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / visit.id / "icf" / visit.tarball).is_symlink()


def test_hostile_values_are_shown_as_text_and_do_nothing(
    site: Site, browser: Browser, screenshot: Screenshot
) -> None:
    """Markup, scripts and templates in a DICOM value; 300 visits on one page."""
    browser.open(site.study("many"))
    browser.wait("h5 a.newlink", f"v{MANY - 1:03d}")
    assert len(browser.texts("h5 a.newlink")) == MANY
    assert EVIL in browser.texts("button.rounded-pill")
    screenshot("many")
    browser.open(site.of(Visit("many", "v007")))
    table = browser.wait("table", "ProtocolName").text
    assert EVIL in table
    assert EVIL_URL in table
    assert {EVIL, EVIL_URL} <= set(browser.texts("button.rounded-pill"))
    assert browser.driver.title != "hacked"
    assert not browser.driver.execute_script(
        "return document.querySelector('img[src=x], link[href*=other]')"
    )


def test_study_page_asks_once_however_many_visits_it_lists(
    site: Site, browser: Browser
) -> None:
    browser.open(site.study("many"))
    browser.wait("h5 a.newlink", "v000")
    asked = [url for url in browser.requests() if "/latest/" in url]
    assert len(asked) == 1
    browser.open(site.study())  # the fixture wants to see requests


def test_filters_find_a_visit_by_name_and_keyword(site: Site, browser: Browser) -> None:
    browser.open(site.study("many"))
    browser.wait("h5 a.newlink", "v000")
    browser.driver.find_element("css selector", "#input-1").send_keys("v12")
    browser.wait_until("document.querySelectorAll('h5 a.newlink').length == 10")
    browser.wait("h5 a.newlink", "v125")
    browser.driver.execute_script(
        "document.querySelector('.card-header button.rounded-pill').click()"
    )
    browser.wait("button", EVIL)
    assert len(browser.texts("h5 a.newlink")) == 10


def test_browser_refuses_other_hosts_whatever_a_page_tries(
    site: Site, running: Browser
) -> None:
    """The policy in the page, seen at work: a script of ours asks elsewhere in vain."""
    running.open(site.study())
    running.wait("h5 a.newlink", site.visits[0].id)
    refused = running.driver.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation',"
        "  event => done(event.effectiveDirective));"
        "new Image().src = 'http://other.example/x.png';"
    )
    assert refused == "img-src"
    assert any("other.example" in text for text in running.complaints())
    running.requests()


def test_catalog_works_at_the_root_of_another_server(
    site: Site, running: Browser, tmp_path: Path
) -> None:
    """Copied away from the store; the other tests have it deep below the root."""
    shutil.copytree(site.store.catalog_dir(PROJECT), tmp_path / "www")
    with serve(tmp_path / "www") as url:
        running.requests()
        running.complaints()
        running.open(url)
        running.wait("h5 a.newlink", site.visits[0].id).click()
        running.wait("table", "SeriesDescription")
        assert running.complaints() == []
        hosts = {urlsplit(address).netloc for address in running.requests()}
        assert hosts == {urlsplit(url).netloc}
