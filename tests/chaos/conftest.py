"""What the tests in this folder share.

===========  ========  ==============================================================
fixture      scope     what it gives
===========  ========  ==============================================================
visits       session   40 small visits, as a store on the web has them
web          function  the HTTP store with them; it can be made to fail
web_url      session   its address
expected     session   path to MD5 of the project's folder after an undisturbed run
few          session   names of the first 10 of them, for tests that need no more
expected_few session   as `expected`, for those
cluster         function  store directory, broker, and workers that can be killed
rng          function  random choices, from the seed and the test's name
===========  ========  ==============================================================

``make test`` runs the short form, ``make chaos`` (``ICFQUEUE_CHAOS=long``) the long one.
``ICFQUEUE_CHAOS_SEED`` repeats a run; the seed is in the first lines that pytest prints.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos_project import (
    FEW,
    LONG,
    PROJECT,
    SEED,
    VISITS,
    build_visits,
    run_undisturbed,
    snapshot,
)
from support.faulty_store import FaultyStore
from support.killable_cluster import KillableCluster

from icfqueue.core.visit import Visit


def pytest_report_header() -> str:
    return f"chaos: {'long' if LONG else 'short'} form, ICFQUEUE_CHAOS_SEED={SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the long form its time; items of other folders pass here, too."""
    for item in items if LONG else []:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def web_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="session")
def visits(web_root: Path) -> list[Visit]:
    return build_visits(web_root, VISITS)


@pytest.fixture(scope="session")
def _web(web_root: Path, visits: list[Visit]) -> Iterator[FaultyStore]:  # noqa: ARG001 - served
    with FaultyStore(web_root, auth=False) as web:
        yield web


@pytest.fixture(scope="session")
def web_url(_web: FaultyStore) -> str:
    return _web.url


@pytest.fixture
def web(_web: FaultyStore) -> Iterator[FaultyStore]:
    yield _web
    _web.clear()
    _web.auth = False
    _web.requests.clear()
    _web.seen.clear()


@pytest.fixture(scope="session")
def expected(
    _web: FaultyStore, visits: list[Visit], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    root = tmp_path_factory.mktemp("undisturbed")
    run_undisturbed(root, visits, _web.url)
    return snapshot(root / PROJECT)


@pytest.fixture(scope="session")
def few(visits: list[Visit]) -> list[str]:
    return [visit.id for visit in visits[:FEW]]


@pytest.fixture(scope="session")
def expected_few(
    _web: FaultyStore, visits: list[Visit], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    root = tmp_path_factory.mktemp("undisturbed-few")
    run_undisturbed(root, visits[:FEW], _web.url)
    return snapshot(root / PROJECT)


@pytest.fixture
def cluster(tmp_path: Path, web: FaultyStore) -> Iterator[KillableCluster]:
    with KillableCluster(tmp_path, web.url) as cluster:
        yield cluster


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")
