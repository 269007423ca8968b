"""The examples in ops/ are what ``icfqueue deploy`` prints, and real servers take them."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import bcrypt
import pytest
import redis
import requests
from click.testing import CliRunner
from support.access import PASSWORD, USERS, site_file
from support.needs import program
from support.nginx import USER, Nginx
from support.valkey import certificate, free_port
from support.waiting import wait_until

from icfqueue.broker.connection import Broker
from icfqueue.cli.group import cli
from icfqueue.core.errors import Unreachable
from icfqueue.demo.visits import build_project
from icfqueue.remote.listing import Listing

ROOT = Path(__file__).parents[2]
OTHER = "someone"
"""Who may see another project than `USER`."""
STORE = (
    *("--store-dir", "/data/icf", "--store-url", "https://data.inm-icf.de"),
    *("--program", "/opt/icfqueue/.venv/bin/icfqueue"),
)
BROKER = ("--broker", "redis://icfqueue-worker@broker.example.org:6379/0")
EXAMPLES = {
    "ops/worker.slurm": ("slurm", "--workers", "4", *STORE, *BROKER),
    "ops/worker.htcondor": (
        *("htcondor", "--workers", "4", "--walltime", "12h"),
        *STORE,
        *BROKER,
    ),
    "ops/apptainer/icfqueue.def": ("apptainer", *STORE, *BROKER),
    "compose.yaml": ("compose", *STORE),
}
UNITS = ("systemd", "--concurrency", "2", *STORE, *BROKER)


def deploy(*words: str) -> str:
    done = CliRunner().invoke(cli, ["deploy", *words], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_what_the_command_prints(example: str) -> None:
    words = EXAMPLES[example]
    assert (ROOT / example).read_text() == deploy(*words), (
        f"icfqueue deploy {shlex.join(words)} > {example}"
    )


def test_the_units_are_what_the_command_writes(tmp_path: Path) -> None:
    deploy(*UNITS, "-o", str(tmp_path))
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.service"))
    there = sorted(path.relative_to(ROOT / "ops") for path in ROOT.glob("ops/**/*.service"))
    assert made == there
    for path in made:
        assert (ROOT / "ops" / path).read_text() == (tmp_path / path).read_text(), (
            f"icfqueue deploy {shlex.join(UNITS)} -o ops"
        )


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section of Apptainer's definition."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("%"):
            found[line[1:]] = []
        elif found and line.strip():
            found[list(found)[-1]].append(line.strip())
    return found


def test_the_commands_of_apptainers_definition_make_a_program_that_runs(
    tmp_path: Path,
) -> None:
    """Each as it stands there, in a bare environment; but Debian's own programs.

    What the constraints name is here already, so that nothing is fetched: pip compares.
    """
    home = tmp_path / "opt"
    made = sections((ROOT / "ops/apptainer/icfqueue.def").read_text())
    for line in made["files"]:
        source, target = line.split()
        place = Path(target.replace("/opt/icfqueue", str(home)))
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(
                ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / source, place)
    commands = [
        line.replace("python -m", f"{sys.executable} -m")
        for line in made["post"]
        if not re.match("apt-get|rm -rf /var/lib/apt", line)
    ]
    assert len(made["post"]) == len(commands) + 3
    environment = {
        **os.environ,
        # What is installed here is seen in there, and nothing is looked for elsewhere.
        "PYTHONPATH": next(path for path in sys.path if path.endswith("site-packages")),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for script in (commands, made["test"]):
        text = "\n".join(script).replace("/opt/icfqueue", str(home))
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "icfqueue, version" in done.stdout
    where = [f"{home}/venv/bin/python", "-c", "import icfqueue; print(icfqueue.__file__)"]
    told = subprocess.run(
        where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith(str(home))


class Site(Nginx):
    """nginx with ``ops/nginx/icfqueue.conf``, at a port and with files of this machine."""

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.chain, _ = certificate(self.folder)
        return super().__enter__()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def server_block(self) -> str:
        # As 'htpasswd -B' writes it.
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()
        projects = self.folder / "projects"
        projects.mkdir(exist_ok=True)
        for path, user in (
            (self.folder / "users", USER),
            (projects / "study_1.users", USER),
            (projects / "study_2.users", OTHER),
        ):
            path.write_text(f"{user}:{hashed.replace('$2a$', '$2y$')}\n")
        return adapted(
            "ops/nginx/icfqueue.conf",
            {
                "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
                "/etc/ssl/icfqueue": str(self.folder),
                "/etc/nginx/icfqueue.users": str(self.folder / "users"),
                "/etc/nginx/icfqueue/$project": f"{self.folder}/projects/$project",
                "root /data/icf": f"root {self.root}",
            },
        )

    def connection(self) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self.chain))
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=5, context=context
        )

    def ask(
        self, path: str, method: str = "GET", *, user: str = USER, **headers: str
    ) -> requests.Response:
        auth = (user, PASSWORD) if user else None
        with warnings.catch_warnings():
            return requests.request(
                method,
                self.url + path,
                auth=auth,
                headers=headers,
                verify=str(self.chain),
                timeout=20,
            )


def adapted(name: str, real: dict[str, str]) -> str:
    """Return an example with what `real` has in place of what it shows."""
    text = (ROOT / name).read_text()
    for documented, there in real.items():
        assert documented in text, documented
        text = text.replace(documented, there)
    return text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store of three projects with catalogs, and what is nobody's business."""
    store = tmp_path_factory.mktemp("store")
    for project in ("study_1", "study_2", "of_nobody"):
        build_project(store, project, 2)
        (store / project / "catalog").mkdir()
        (store / project / "catalog/index.html").write_text("a catalog")
    (store / ".icfqueue/log").mkdir(parents=True)
    (store / ".icfqueue/log/worker.log").write_text("secret")
    (store / "study_1/.icfqueue").mkdir()
    (store / "study_1/.icfqueue/part").write_text("secret")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file").write_text("secret")
    (store / "study_1/link").symlink_to(outside)
    with Site(tmp_path_factory.mktemp("nginx"), store) as started:
        yield started


def test_nginx_lets_nobody_in_without_a_password(site: Site) -> None:
    for path in ("/", "/study_1/", "/study_1/catalog/", "/study_1/catalog/index.html"):
        refused = site.ask(path, user="")
        assert refused.status_code == 401
        assert "Basic" in refused.headers["WWW-Authenticate"]
        assert site.ask(path).status_code == 200


def test_nginx_shows_each_user_the_own_project_alone(site: Site) -> None:
    """Whichever way the other one is named, in ranges, too; and asks by its own realm."""
    for mine, other, user in (
        ("study_1", "study_2", USER),
        ("study_2", "study_1", OTHER),
    ):
        (tarball,) = site.root.glob(f"{other}/*01_dicom.tar")
        there = site.ask(f"/{mine}/{tarball.name}", user=user, Range="bytes=0-9")
        assert (there.status_code, len(there.content)) == (206, 10)
        assert site.ask(f"/{mine}/catalog/", user=user).status_code == 200
        for path in (
            f"/{other}/",
            f"/{other}",
            f"/{other}/{tarball.name}",
            f"/{other}/catalog/index.html",
            f"//{other}/{tarball.name}",
            f"/{mine}/%2e%2e/{other}/{tarball.name}",
            f"/{mine}/..%2f{other}/{tarball.name}",
            f"/%73{other[1:]}/{tarball.name}",
            f"/{mine}%2f../{other}/",
        ):
            refused = site.ask(path, user=user, Range="bytes=0-9")
            assert refused.status_code == 401, path
            assert refused.headers["WWW-Authenticate"] == f'Basic realm="icf {other}"'


def test_nginx_shows_a_project_without_users_to_nobody(site: Site) -> None:
    for user in (USER, OTHER):
        for path in ("/of_nobody/", "/of_nobody/catalog/index.html"):
            assert site.ask(path, user=user).status_code == 403
    assert site.ask("/", user=OTHER).status_code == 401
    assert "study_2" in site.ask("/").text


def test_nginx_serves_tarballs_whole_and_in_ranges(site: Site) -> None:
    (tarball,) = site.root.glob("study_1/*01_dicom.tar")
    path, content = f"/study_1/{tarball.name}", tarball.read_bytes()
    asked = {"Accept-Encoding": "gzip"}
    whole = site.ask(path, **asked)
    assert whole.content == content
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in whole.headers
    part = site.ask(path, Range="bytes=512-1023", **asked)
    assert (part.status_code, part.content) == (206, content[512:1024])
    same = {"Range": "bytes=0-9", "If-Range": whole.headers["ETag"]}
    assert site.ask(path, **same).status_code == 206


def test_nginx_shows_catalogs_and_listings_that_icfqueue_reads(site: Site) -> None:
    assert site.ask("/study_1/catalog/").text == "a catalog"
    listing = Listing("study_1", f"{site.url}/study_1/")
    listing.feed(site.ask("/study_1/").content)
    listing.close()
    assert len(listing.visits()) == 2


def test_nginx_hides_what_begins_with_a_dot_and_follows_no_link_out(site: Site) -> None:
    assert ".icfqueue" not in site.ask("/").text + site.ask("/study_1/").text
    for path in (
        "/.icfqueue/",
        "/.icfqueue/log/worker.log",
        "/%2eicfqueue/log/worker.log",
        "/study_1/.icfqueue/part",
        "/study_1/..%2f.icfqueue/log/worker.log",
        "/study_1/link/file",
    ):
        answer = site.ask(path)
        assert answer.status_code in {403, 404}, path
        assert "secret" not in answer.text


def test_nginx_changes_nothing(site: Site) -> None:
    for method in ("PUT", "POST", "DELETE", "MKCOL"):
        assert site.ask("/study_1/new", method).status_code in {403, 405}, method


@contextmanager
def tls_server(folder: Path, listen: str) -> Iterator[None]:
    """The server that the head of ops/valkey/tls.conf starts, at a port of ours."""
    server = program("redis-server", "redis-server")
    lines = (ROOT / "ops/valkey/tls.conf").read_text().splitlines()
    (command,) = [line[4:] for line in lines if line.startswith("#   valkey-server")]
    words = [
        str(ROOT / word) if word.startswith("ops/") else word
        for word in shlex.split(command)[1:]
    ]
    site_file(folder)
    certificate(folder)
    process = subprocess.Popen(
        [server, *words, "--tls-port", listen], cwd=folder, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_the_broker_with_tls_starts_as_its_head_says(tmp_path: Path) -> None:
    """Each user is let in over TLS alone, and nobody without a password."""
    port = free_port()
    chain = tmp_path / "cert.pem"

    def broker(user: str, scheme: str = "rediss") -> Broker:
        login = f"icfqueue-{user}:{PASSWORD}@" if user else ""
        return Broker(f"{scheme}://{login}127.0.0.1:{port}/0", chain)

    def answers() -> bool:
        try:
            broker("worker").check().close()
        except Unreachable:
            return False
        return True

    with tls_server(tmp_path, str(port)):
        wait_until(answers, 30, "it answers")
        for user in USERS:
            with broker(user).check() as client:
                if user == "monitor":  # who may not even ask for that
                    continue
                info: Any = client.info()
                assert info["aof_enabled"] == 1
                assert info["maxmemory_policy"] == "noeviction"
        with pytest.raises(Unreachable):
            broker("worker", "redis").check()
        with (
            pytest.raises(redis.RedisError, match="uthenticat"),
            broker("").connect() as client,
        ):
            client.ping()
