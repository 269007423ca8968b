"""What every test shares.

================ ========  ====================================================
fixture          scope     what it gives
================ ========  ====================================================
isolated         session   (autouse) an empty HOME and git configuration of its own
forgetful        function  (autouse) no test knows the broker's password of another
store            function  a :class:`Store` in a fresh folder
settings         function  default settings for that store
make_job         function  builds a :class:`Job` for a visit of that store
valkey_server    session   a real Valkey server on a Unix socket
valkey           function  the same, up and empty; a test may kill or restart it
ledger           function  a :class:`RedisLedger` on it
in_process_queue function  queue, worker and supervisor on it, in the test's process
================ ========  ====================================================
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from msgspec import structs
from support.in_process_queue import InProcessQueue
from support.valkey import Valkey

from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset import programs
from icfqueue.ledger.redis_ledger import RedisLedger
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store

# How long an example takes, or is looked for, says how busy the machine is and no more.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
"""Two real visits, where the institute's test data are laid beside the checkout."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of a file run in one process, which makes what they share once."""
    for item in items:
        if item.get_closest_marker("spread") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give git, DataLad and Python a home of their own; no test may touch the user's."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Test\n\temail = test@example.org\n"
        "[datalad]\n\tenable-telemetry = false\n"
    )
    # Who starts the tests in the background has them, and all that they start, ignore
    # Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # As of `nohup`: what is started here is to end by it all the same.
        signal.signal(signal.SIGHUP, lambda *_: None)
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("ICFQUEUE_", "GIT_", "DATALAD_", "SLURM_")):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    # As after `. .venv/bin/activate`: DataLad looks for git-annex in PATH.
    patch.setenv("PATH", programs.search_path())
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    # A hospital's proxy is not for servers on this machine.
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "127.0.0.1,localhost,::1")
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    # Not in the checkout: a git-annex that is started without a repository of its own
    # would make one of it.
    patch.chdir(home)
    before = (home / ".gitconfig").read_bytes()
    yield home
    patch.undo()
    assert (home / ".gitconfig").read_bytes() == before, "a test changed ~/.gitconfig"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a command of another test took out of its environment."""
    monkeypatch.setattr("icfqueue.core.configured.sources._kept", {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    root = tmp_path / "store"
    root.mkdir()
    return Store(root)


@pytest.fixture
def settings(store: Store) -> Settings:
    return Settings(store_dir=store.root, keep_free=0, settle=0)


@pytest.fixture
def make_job(store: Store, settings: Settings) -> Callable[..., Job]:
    """Return a maker of jobs: ``make_job("visit_1", force=True)``."""

    def make(visit: str, project: str = "study_1", **options: Any) -> Job:
        chosen = Options(**{"store_url": "https://data.example.org", **options})
        (store.root / project).mkdir(exist_ok=True)
        # As where one site enqueues and works: the store gets its credential.
        own = structs.replace(settings, store_url=chosen.store_url)
        return Job(Visit(project, visit), chosen, store, own)

    return make


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    if valkey_server.process is None or valkey_server.process.poll() is not None:
        valkey_server.start()
    with valkey_server.client() as client:
        client.flushall()
    return valkey_server


@pytest.fixture
def ledger(valkey: Valkey) -> Iterator[RedisLedger]:
    with valkey.client() as client:
        yield RedisLedger(client, flush_after=0.05)


@pytest.fixture
def in_process_queue(
    valkey: Valkey, ledger: RedisLedger, settings: Settings
) -> Iterator[InProcessQueue]:
    chosen = structs.replace(settings, catalog_gather=0.05, retry_base=0.05)
    made = InProcessQueue.on(valkey, chosen, ledger)
    yield made
    made.close()
