"""The catalog in a real browser: what people see, and whom the pages ask.

Made of tarballs that went through all steps before, and served as a file server would.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from selenium.webdriver.common.keys import Keys
from support.browser import Browser, find_browser, open_browser, serve

from icfqueue.catalog import pages, published_report, study
from icfqueue.catalog.pages import format_bytes
from icfqueue.core.guard import UNGUARDED
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project
from icfqueue.outputs import deposit, ids, metadata_files
from icfqueue.reports.pages.page import page
from icfqueue.reports.publishing import links_within
from icfqueue.reports.report import make_report
from icfqueue.serve.server import LOOPBACK
from icfqueue.serve.serving import serving
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.tarball.dicom_tags import NAMES

PROJECT = "demo"
VISITS = 4
MANY = 2000

EVIL = "<img src=x onerror=\"document.title='hacked'\">{{6*7}}"
EVIL_URL = "<link rel=stylesheet href=http://other.example/x.css>"
NAME = "Imaging <i>Core</i> {{6*7}}"

WIDTHS = {"phone": (390, 844), "laptop": (1280, 800), "wide": (2200, 1200)}


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
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
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
        # Stands for a dataset of all visits: the page offers to clone it.
        (store.project_dir(PROJECT) / deposit.REFS).touch()
        study.add_visits(store, PROJECT, visits, store_url, settings)
        _many(job)
        yield Site(url, store_url, store, visits)


def _many(job: Job) -> None:
    """Make a large study whose DICOM values are hostile; each tenth visit has a CT."""
    entry = dict.fromkeys(NAMES, "") | {"path": "a", "md5": "0" * 32, "size": 1}
    visits = []
    for number in range(MANY):
        visit = Visit("many", f"v{number:04d}")
        job.store.project_dir("many").mkdir(exist_ok=True)
        tags = {"ProtocolName": [EVIL, EVIL_URL], "SeriesDescription": EVIL}
        tags["Modality"] = "MR" if number % 10 else "CT"
        dicoms = job.store.path(visit, visit.metadata_dicoms)
        dicoms.write_text(f"[{json.dumps(entry | tags)}]")
        tarball = {"size": number, "md5": "0" * 32}
        tarball |= {"dspath": visit.dspath, "storepath": visit.storepath}
        job.store.path(visit, visit.metadata_tarball).write_text(json.dumps(tarball))
        visits.append(visit)
    study.add_visits(job.store, "many", visits, job.options.store_url, job.settings)


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    catalogs: Site,  # noqa: ARG001 - no browser is started before there is something to see
) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(running: Browser, catalogs: Site) -> Iterator[Browser]:
    """Give an empty page; afterwards, fail on complaints and on requests elsewhere."""
    running.open("about:blank")
    running.requests()
    running.complaints()
    yield running
    assert running.complaints() == []
    asked = running.requests()
    assert asked
    hosts = {urlsplit(address).netloc for address in asked}
    assert hosts == {urlsplit(catalogs.url).netloc}


Screenshot = Callable[[str], None]


@pytest.fixture
def screenshot(browser: Browser) -> Screenshot:
    """Return a taker of pictures, kept where CATALOG_SCREENSHOTS says, for people."""
    folder = os.environ.get("CATALOG_SCREENSHOTS")

    def take(name: str) -> None:
        if folder:
            browser.screenshot(Path(folder) / f"{name}.png")

    return take


VISIT = "#visits th a"
"""Links to visits in the list of the study page."""


def names(browser: Browser) -> list[str]:
    """Return the visits that the list shows now."""
    return browser.texts(VISIT)


def test_study_page_lists_every_visit_with_name_and_sums(
    catalogs: Site, browser: Browser
) -> None:
    browser.open(catalogs.study())
    browser.wait(VISIT, catalogs.visits[-1].id)
    assert names(browser) == [visit.id for visit in catalogs.visits]
    text = browser.text()
    assert f"{NAME}: {PROJECT}" in text
    assert "Visits" in text
    assert "ubdataset" not in text.replace("as a subdataset", "")
    assert f"{VISITS} visits" in browser.texts(".count")
    told = [metadata_files.read_tarball(catalogs.store, visit) for visit in catalogs.visits]
    total = sum(one.size for one in told if one)
    files = [metadata_files.read_dicoms(catalogs.store, one) for one in catalogs.visits]
    assert browser.texts(".facts dd") == [
        str(VISITS),
        str(sum(map(len, files))),
        format_bytes(total),
    ]
    assert browser.driver.title == f"{PROJECT} | {NAME}"


def test_a_visits_page_has_its_series_sizes_links_and_title(
    catalogs: Site, browser: Browser
) -> None:
    visit = catalogs.visits[1]
    dicoms = metadata_files.read_dicoms(catalogs.store, visit)
    tarball = metadata_files.read_tarball(catalogs.store, visit)
    assert tarball
    browser.open(catalogs.study())
    browser.wait(VISIT, visit.id).click()
    browser.wait("#series td")
    head = ["Number", "Description", "Protocol", "Modality", "Images", "Size"]
    assert browser.texts("section table th") == head
    rows = browser.driver.execute_script(
        "return [...document.querySelectorAll('#series tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    tags = ("SeriesNumber", "SeriesDescription", "ProtocolName", "Modality")
    found: dict[tuple[str, ...], list[int]] = {}
    for entry in dicoms:
        sums = found.setdefault(tuple(str(entry[tag]).strip() for tag in tags), [0, 0])
        sums[0] += 1
        sums[1] += entry["size"]
    wanted = [[*key, str(n), format_bytes(size)] for key, (n, size) in found.items()]
    assert len(wanted) > 1
    assert sorted(rows) == sorted(wanted)
    assert browser.driver.title == f"{visit.id} | {PROJECT} | {NAME}"
    assert f"downloads the whole tarball, {format_bytes(tarball.size)}" in browser.text()
    links = browser.driver.execute_script(
        "return [...document.querySelectorAll('a[rel=noreferrer]')].map(a => a.href)"
    )
    address = f"{catalogs.store_url}/{visit.storepath}"
    assert links == [address, f"{address}.md5sum"]
    assert browser.texts("#md5") == [tarball.md5]
    exported = browser.driver.execute_script(
        "return fetch(document.querySelector('a[download]').href).then(a => a.json())"
    )
    assert exported["name"] == visit.id
    assert not browser.driver.find_elements("css selector", "[role=tab]")


def test_tags_of_a_visit_are_all_there_to_be_unfolded(
    catalogs: Site, browser: Browser
) -> None:
    visit = catalogs.visits[0]
    browser.open(catalogs.of(visit))
    browser.wait("#tags summary").click()
    table = browser.wait("#tags table", "SeriesDescription").text
    for entry in metadata_files.read_dicoms(catalogs.store, visit):
        for tag in NAMES:
            assert " ".join(str(entry[tag]).split()) in table
    assert "not specified" in table  # a tag that none of these files has


def test_logo_trail_and_keyword_lead_from_a_visit_to_its_study(
    catalogs: Site, browser: Browser
) -> None:
    for link in ("header a", ".trail a"):
        browser.open(catalogs.of(catalogs.visits[2]))
        browser.wait("#series td")
        browser.wait(link).click()
        browser.wait(VISIT, catalogs.visits[-1].id)
    browser.open(catalogs.of(catalogs.visits[2]))
    keyword = browser.wait(".chips a")
    text = keyword.text
    keyword.click()
    browser.wait(VISIT)
    assert (
        browser.driver.find_element("id", "filter-keyword").get_attribute("value") == text
    )
    assert " of 4 visits" in browser.texts(".count")[0]


@pytest.mark.parametrize("rest", ["", "/content", "/subdatasets", "/dicom", "/nonsense"])
def test_addresses_of_the_pages_before_these_go_on_working(
    catalogs: Site, browser: Browser, rest: str
) -> None:
    """datalad-catalog's pages had tabs, and their names in the address."""
    browser.open(catalogs.of(catalogs.visits[0]) + rest)
    browser.wait("h1", catalogs.visits[0].id)
    browser.wait("#series td")


@pytest.mark.parametrize(
    "address", ["#/dataset/none/latest", "#/nonsense", "#/dataset/../x", "#/dataset/%/a"]
)
def test_an_address_without_a_page_says_so_and_leads_home(
    catalogs: Site, running: Browser, address: str
) -> None:
    running.open("about:blank")
    running.open(catalogs.study() + address)
    running.wait("h1", "There is no such page")
    running.wait("main a", "To the study").click()
    running.wait(VISIT, catalogs.visits[0].id)
    running.complaints()  # the browser's own, of a file that is not there


def test_clone_command_of_the_page_clones_the_dataset(
    catalogs: Site, browser: Browser, tmp_path: Path
) -> None:
    """It is run by a shell as it stands there; braces and ``&`` must survive."""
    visit = catalogs.visits[0]
    browser.open(catalogs.of(visit))
    command = browser.wait("#clone_code", "datalad clone").text
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


def test_button_copies_the_command_also_without_the_clipboard_of_https(
    catalogs: Site, browser: Browser
) -> None:
    browser.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    read = "return navigator.clipboard.readText()"
    browser.open(catalogs.of(catalogs.visits[0]))
    command = browser.wait("#clone_code").text
    button = browser.wait(".command button")
    assert button.get_attribute("aria-label") == "Copy the command: clone the visit"
    button.click()
    browser.wait(".command button", "Copied")
    assert browser.driver.execute_script(read) == command
    browser.driver.execute_script(
        "navigator.clipboard.writeText('');"
        "navigator.clipboard.writeText = () => Promise.reject(new Error('not secure'));"
    )
    browser.wait_until("document.querySelector('#said').textContent == ''")
    button.click()
    browser.wait_until("document.querySelector('#said').textContent == 'Copied'")
    assert browser.driver.execute_script(read) == command


def test_study_page_has_the_command_that_clones_the_whole_project(
    catalogs: Site, browser: Browser
) -> None:
    browser.open(catalogs.study())
    url = deposit.clone_url(catalogs.store_url, PROJECT)
    browser.wait("#clone_code", f"datalad clone '{url}' {PROJECT}")
    browser.open(catalogs.study("many"))
    browser.wait(VISIT, "v0000")
    assert not browser.driver.find_elements("id", "clone_code")


def test_first_time_tells_what_to_install_and_type(
    catalogs: Site, browser: Browser
) -> None:
    for address in (catalogs.study(), catalogs.of(catalogs.visits[0])):
        browser.open("about:blank")
        browser.open(address)
        browser.wait("#first-time summary").click()
        text = browser.wait("#first-time ol", "Git").text
        for words in (
            "pip install datalad-next git-annex",
            "git config --global user.name",
            "git config --global user.email",
            f"{urlsplit(catalogs.url).netloc} asks for a user name and a password",
        ):
            assert words in text


def test_hostile_values_are_shown_as_text_and_do_nothing(
    catalogs: Site, browser: Browser
) -> None:
    """Markup, scripts and templates in a DICOM value, and in the address."""
    browser.open(catalogs.study("many"))
    browser.wait("td.words", EVIL)
    browser.open(catalogs.of(Visit("many", "v0007")))
    assert EVIL in browser.wait("#series").text
    assert {EVIL, EVIL_URL} <= set(browser.texts(".chips a"))
    browser.open(f"{catalogs.study('many')}#/?keyword={quote(EVIL)}")
    browser.wait(".count", f"{MANY:,} of {MANY:,} visits")
    assert "hacked" not in browser.driver.title
    assert not browser.driver.execute_script(
        "return document.querySelector('img[src=x], link[href*=other]')"
    )


def test_study_page_of_2000_visits_opens_in_3_s_with_one_request_and_50_rows(
    catalogs: Site, browser: Browser
) -> None:
    """Seconds in which the browser was at work, whatever else the machine did."""
    command = browser.driver.execute_cdp_cmd
    command("Performance.enable", {})
    browser.open(catalogs.study("many"))
    browser.wait(VISIT, "v0000")
    assert len(names(browser)) == 50
    metrics = command("Performance.getMetrics", {})["metrics"]
    (seconds,) = [one["value"] for one in metrics if one["name"] == "TaskDuration"]
    assert 0 < seconds < 3
    asked = [url for url in browser.requests() if "/latest/" in url]
    assert len(asked) == 1
    browser.open(catalogs.study())  # the fixture wants to see requests


def test_filters_answer_each_letter_in_a_fifth_of_a_second(
    catalogs: Site, browser: Browser
) -> None:
    browser.open(catalogs.study("many"))
    browser.wait(VISIT, "v0000")
    milliseconds = browser.driver.execute_script(
        "const took = [];"
        "for (const [id, text] of [['visit', 'v'], ['visit', 'v1'], ['keyword', 'ct'],"
        "                          ['visit', ''], ['keyword', '']]) {"
        "  const input = document.getElementById(`filter-${id}`);"
        "  const began = performance.now();"
        "  input.value = text;"
        "  input.dispatchEvent(new Event('input'));"
        "  document.body.getBoundingClientRect();"  # lays the page out
        "  took.push(performance.now() - began);"
        "}"
        "return took"
    )
    assert max(milliseconds) < 200


def test_filters_are_kept_in_the_address_and_by_back(
    catalogs: Site, browser: Browser
) -> None:
    browser.open(catalogs.study("many"))
    browser.wait(VISIT, "v0000")
    browser.driver.find_element("id", "filter-visit").send_keys("v12")
    browser.wait(".count", f"100 of {MANY:,} visits")
    browser.driver.find_element("id", "filter-keyword").send_keys("ct")
    browser.wait(".count", f"10 of {MANY:,} visits")
    assert names(browser) == [f"v12{number}0" for number in range(10)]
    assert browser.driver.current_url.endswith("?visit=v12&keyword=ct")
    browser.wait(VISIT, "v1250").click()
    browser.wait("h1", "Visit v1250")
    browser.driver.back()
    browser.wait(".count", f"10 of {MANY:,} visits")
    value = "document.getElementById('filter-visit').value"
    assert browser.driver.execute_script(f"return {value}") == "v12"
    address = browser.driver.current_url
    browser.open("about:blank")
    browser.open(address)
    browser.wait(".count", f"10 of {MANY:,} visits")


def test_list_is_sorted_and_paged_by_links(catalogs: Site, browser: Browser) -> None:
    browser.open(catalogs.study("many"))
    browser.wait(VISIT, "v0000")
    browser.wait(".pager a", "Next").click()
    browser.wait(VISIT, "v0050")
    browser.wait(".pager a", "Last").click()
    browser.wait(VISIT, "v1999")
    assert "Page 40 of 40" in browser.text()
    browser.driver.back()
    browser.wait(VISIT, "v0050")
    for first, order in (("v0000", "ascending"), ("v1999", "descending")):
        browser.wait("thead a", "Size").click()
        browser.wait_until(f"document.querySelector('{VISIT}').textContent == '{first}'")
        sorted_by = browser.driver.find_element("css selector", "th[aria-sort]")
        assert sorted_by.get_attribute("aria-sort") == order
        assert "Size" in sorted_by.text


def test_all_can_be_done_from_the_keyboard(catalogs: Site, browser: Browser) -> None:
    """Tab goes to each control; Enter opens a visit; its heading is then read out."""
    browser.open(catalogs.study())
    browser.wait(VISIT, catalogs.visits[0].id)
    reached = []
    for _ in range(40):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        focused = browser.driver.switch_to.active_element
        reached.append(focused.get_attribute("id") or focused.text)
        if focused.text == catalogs.visits[0].id:
            break
    assert {"filter-visit", "filter-keyword", "Copy", "Size"} <= set(reached)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.wait("h1", f"Visit {catalogs.visits[0].id}")
    browser.wait_until("document.activeElement.tagName == 'H1'")


@pytest.fixture
def screen(running: Browser) -> Iterator[Callable[[str, str], None]]:
    """Return a function that sets width and scheme; set back afterwards."""
    command = running.driver.execute_cdp_cmd

    def choose(width: str, scheme: str) -> None:
        wide, high = WIDTHS[width]
        size = {"width": wide, "height": high, "deviceScaleFactor": 1}
        command("Emulation.setDeviceMetricsOverride", {**size, "mobile": width == "phone"})
        feature = {"name": "prefers-color-scheme", "value": scheme}
        command("Emulation.setEmulatedMedia", {"features": [feature]})

    yield choose
    command("Emulation.clearDeviceMetricsOverride", {})
    command("Emulation.setEmulatedMedia", {"features": []})


def axe(browser: Browser) -> list[dict[str, Any]]:
    """Return what axe-core finds wrong with the page for people with disabilities."""
    script = importlib.resources.files("axe_core_python") / "axe.min.js"
    browser.driver.execute_script(script.read_text("utf-8"))
    found: list[dict[str, Any]] = browser.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run().then(found => done(found.violations.map(one => ({"
        "  id: one.id, impact: one.impact, nodes: one.nodes.map(node => node.html)}))))"
    )
    return found


@pytest.mark.parametrize(
    "seen",
    [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")],
    ids="-".join,
)
def test_pages_fit_the_screen_and_axe_finds_nothing(
    catalogs: Site,
    browser: Browser,
    screen: Callable[[str, str], None],
    screenshot: Screenshot,
    seen: tuple[str, str],
) -> None:
    screen(*seen)
    addresses = {
        "study": (catalogs.study(), VISIT),
        "many": (catalogs.study("many"), VISIT),
        "visit": (catalogs.of(catalogs.visits[0]), "#series td"),
        "hostile": (catalogs.of(Visit("many", "v0007")), "#series td"),
    }
    for name, (address, sign) in addresses.items():
        browser.open("about:blank")
        browser.open(address)
        browser.wait(sign)
        browser.driver.execute_script(
            "for (const one of document.querySelectorAll('details')) one.open = true"
        )
        assert axe(browser) == [], name
        page, window = browser.driver.execute_script(
            "return [document.documentElement.scrollWidth, innerWidth]"
        )
        assert page <= window, name
        screenshot("-".join((name, *seen)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_serve_and_a_missing_page_fit_a_phone_and_axe_finds_nothing(
    catalogs: Site, running: Browser, screen: Callable[[str, str], None], scheme: str
) -> None:
    screen("phone", scheme)
    # Stands for the deposit of all visits: the page over the projects offers to clone it.
    (catalogs.store.project_dir(PROJECT) / deposit.EXPORT).touch()
    with serving(Settings(store_dir=catalogs.store.root), LOOPBACK, 0, None) as server:
        addresses = {
            "landing": (f"{server.url}/", "pre"),
            "listing": (f"{server.url}/{PROJECT}/", "td a"),
            "missing": (f"{catalogs.study()}#/dataset/none/latest", "p.aside"),
        }
        for name, (address, sign) in addresses.items():
            running.open("about:blank")
            running.open(address)
            running.wait(sign)
            assert axe(running) == [], name
            page, window, dark = running.driver.execute_script(
                "return [document.documentElement.scrollWidth, innerWidth,"
                " matchMedia('(prefers-color-scheme: dark)').matches]"
            )
            assert page <= window == WIDTHS["phone"][0], name
            assert dark is (scheme == "dark")
    running.complaints()  # the browser's own, of a file that is not there


def test_page_opened_as_a_file_says_why_it_is_empty_and_what_to_do(
    catalogs: Site, running: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(catalogs.store.catalog_dir(PROJECT), folder)
    running.requests()
    running.complaints()
    running.open((folder / "index.html").as_uri())
    text = running.wait("main", "opened as a file").text
    assert "python3 -m http.server" in text
    assert running.complaints() == []
    running.driver.find_element("css selector", "header a").click()
    running.wait("main", "opened as a file")


def test_browser_refuses_other_hosts_whatever_a_page_tries(
    catalogs: Site, running: Browser
) -> None:
    """The policy in the page, seen at work: a script of ours asks elsewhere in vain."""
    running.open(catalogs.study())
    running.wait(VISIT, catalogs.visits[0].id)
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
    catalogs: Site, running: Browser, tmp_path: Path
) -> None:
    """Copied away from the store; the other tests have it deep below the root."""
    shutil.copytree(catalogs.store.catalog_dir(PROJECT), tmp_path / "www")
    with serve(tmp_path / "www") as url:
        running.requests()
        running.complaints()
        running.open(url)
        running.wait(VISIT, catalogs.visits[0].id).click()
        running.wait("#series td")
        assert running.complaints() == []
        hosts = {urlsplit(address).netloc for address in running.requests()}
        assert hosts == {urlsplit(url).netloc}


def test_a_page_of_the_layout_before_is_shown_without_what_it_does_not_have(
    catalogs: Site, browser: Browser
) -> None:
    """Those of visits whose metadata files were removed stay as they are."""
    visit = catalogs.visits[3]
    page = catalogs.store.catalog_dir(PROJECT) / pages.page_path(
        str(ids.dataset_id(catalogs.store_url, visit))
    )
    kept = page.read_bytes()
    record = json.loads(kept)
    (dicom,) = [one for one in record["additional_display"] if one["name"] == "DICOM"]
    page.write_bytes(pages.encode({**record, "additional_display": [dicom]}))
    try:
        browser.open(catalogs.of(visit))
        browser.wait("#clone_code")
        assert not browser.driver.find_elements("id", "series")
        assert browser.driver.find_elements("id", "tags")
    finally:
        page.write_bytes(kept)


def test_an_entry_that_somebody_added_by_datalad_catalog_is_listed(
    catalogs: Site, browser: Browser
) -> None:
    page = catalogs.store.catalog_dir(PROJECT) / pages.page_path(
        pages.study_id(catalogs.store_url, PROJECT)
    )
    kept = page.read_bytes()
    record = json.loads(kept)
    bare = {"dataset_id": "x", "dataset_version": "1", "dataset_path": "extra"}
    record["subdatasets"].append({**bare, "dirs_from_path": ["extra"]})
    page.write_bytes(pages.encode(record))
    try:
        browser.open(catalogs.study())
        browser.wait(VISIT, "extra")
    finally:
        page.write_bytes(kept)


@pytest.fixture(scope="module")
def reports(catalogs: Site) -> Site:
    """A report in each of the two catalogs."""
    for project in (PROJECT, "many"):
        made = make_report(catalogs.store, project)
        text = page(made, links_within(catalogs.store, catalogs.store_url, made))
        published_report.publish(
            catalogs.store, project, catalogs.store_url, text, UNGUARDED
        )
    return catalogs


def test_the_report_and_the_pages_lead_to_each_other_and_it_filters_by_keyboard(
    reports: Site, browser: Browser
) -> None:
    browser.open(reports.study())
    browser.wait("a", "Report").click()
    browser.wait("h1", "Report on demo")
    rows = ".matrix tbody tr:not([hidden])"
    every = len(browser.texts(rows))
    assert every == VISITS
    field = browser.wait("#name")
    field.send_keys(Keys.TAB, "that")
    browser.wait_until(f"document.querySelectorAll('{rows}').length < {every}")
    assert browser.texts("#count")[0] == f"{len(browser.texts(rows))} of {every} visits"
    # The frames of wide tables scroll by keyboard.
    assert all(
        browser.driver.execute_script(
            "return [...document.querySelectorAll('.scroll')].map(e => e.tabIndex === 0)"
        )
    )
    browser.wait(".matrix tbody tr:not([hidden]) a").click()
    browser.wait("#series td")


@pytest.mark.parametrize("seen", [("phone", "light"), ("laptop", "dark")], ids="-".join)
def test_the_report_fits_the_screen_and_axe_finds_nothing(
    reports: Site,
    browser: Browser,
    screen: Callable[[str, str], None],
    seen: tuple[str, str],
) -> None:
    screen(*seen)
    browser.open(f"{reports.study()}report.html")
    browser.wait("#count", "visits")
    assert axe(browser) == []
    width, window = browser.driver.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth]"
    )
    assert width <= window


def test_names_that_would_be_markup_are_text_in_a_report_on_many_visits(
    reports: Site, browser: Browser
) -> None:
    browser.open(f"{reports.study('many')}report.html")
    # Of so many those are shown first that differ.
    browser.wait("#count", " of 2,000 visits")
    assert browser.driver.title == "Report on many"
    assert EVIL[:20] in browser.text()
