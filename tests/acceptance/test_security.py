"""What a stranger could try, and what must never be seen."""

from __future__ import annotations

import os
import pickle
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commands import Icfqueue, command_lines
from support.faulty_store import FaultyStore
from support.valkey import Tls, Valkey, certificate, dump
from support.waiting import wait_until

from icfqueue.core.visit import Visit
from icfqueue.demo.visits import build_project, shipped

PASSWORD = "ge heim:#/@"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    build_project(store, "study_1", 2)
    return store


@contextmanager
def working(icfqueue: Icfqueue, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    worker = icfqueue.start("worker", "--concurrency", "2", log=log)
    try:
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0


def test_a_broker_with_password_behind_tls_does_a_project_and_the_password_stays_secret(
    project: Path, tmp_path: Path
) -> None:
    chain, key = certificate(tmp_path)
    log = tmp_path / "log"
    with Valkey(password=PASSWORD, tcp=True) as server, Tls(server.port, chain, key) as tls:
        icfqueue = Icfqueue(
            project,
            {
                "ICFQUEUE_BROKER_URL": f"rediss://127.0.0.1:{tls.port}/0",
                "ICFQUEUE_BROKER_PASSWORD": PASSWORD,
                "ICFQUEUE_BROKER_CA_FILE": str(chain),
            },
        )
        with working(icfqueue, log):
            icfqueue.good("enqueue", "study_1")
            told = icfqueue.good("status", "study_1", "--wait")
            seen = command_lines()
        assert "2 done" in told
        text = log.read_text() + told + "\n".join(seen)
        for secret in (PASSWORD, "ge%20heim", "heim"):
            assert secret not in text
        untrusted = icfqueue("status", ICFQUEUE_BROKER_CA_FILE="")
        assert untrusted.returncode in {2, 3}
        assert "heim" not in untrusted.stderr


def test_no_dicom_value_and_no_credential_is_in_any_log_record_or_message(
    tmp_path: Path,
) -> None:
    import pydicom

    build_project(tmp_path / "web", "study_1", 2)
    store = tmp_path / "store"
    store.mkdir()
    found = pydicom.dcmread(shipped("dicomdirtests/98892003/MR1")[0])
    values = {
        str(found[name].value)
        for name in ("PatientName", "PatientID", "StudyInstanceUID", "ProtocolName")
        if name in found and len(str(found[name].value)) > 5
    }
    assert values
    log = tmp_path / "log"
    with Valkey() as server, FaultyStore(tmp_path / "web", password="store-geheim") as web:
        prefix = "DATALAD_CREDENTIAL_DEMO_"
        icfqueue = Icfqueue(
            store,
            {
                "ICFQUEUE_STORE_URL": web.url,
                "ICFQUEUE_BROKER_URL": server.url,
                "ICFQUEUE_CREDENTIAL": "demo",
                f"{prefix}TYPE": "user_password",
                f"{prefix}USER": web.user,
                f"{prefix}SECRET": "store-geheim",
            },
        )
        worker = icfqueue.start("worker", "--loglevel", "debug", log=log)
        try:
            icfqueue.good("enqueue", "study_1", "--remote")
            told = icfqueue.good("status", "study_1", "--wait", "--format", "json")
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
        with server.client() as client:
            kept = str(dump(client))
            results = "".join(str(client.get(k)) for k in client.scan_iter("celery-task*"))
    text = log.read_text() + told + kept + results
    assert "step.done" in text
    for secret in (*values, "store-geheim"):
        assert secret not in text, secret


def test_messages_are_checked_again_by_the_worker_and_pickles_are_refused(
    project: Path, tmp_path: Path
) -> None:
    from celery import Celery
    from kombu import Connection, Exchange, Queue

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "evil"),))

    log = tmp_path / "log"
    refused = (
        "Object missing required field task",
        "message.dropped study_1/visit_01 fetch",
    )

    def all_refused() -> bool:
        words = log.read_text()
        return all(said in words for said in refused)

    with Valkey() as server:
        icfqueue = Icfqueue(project, {"ICFQUEUE_BROKER_URL": server.url})
        with working(icfqueue, log):
            app = Celery(broker=server.url, set_as_current=False)
            app.conf.task_queues = [Queue("fetch", Exchange("fetch"), routing_key="fetch")]
            hostile = [
                ["../../evil", "visit_01", 1],
                ["study_1", "../../../evil", 1],
                ["study_1", "visit_01", "1"],
                ["study_1", {"a": 1}, None],
                ["study_1", "visit_01", 77],
            ]
            for arguments in hostile:
                app.send_task("icfqueue.fetch", args=arguments, queue="fetch")
            with Connection(server.url) as connection:
                connection.SimpleQueue("fetch").put(
                    pickle.dumps(Evil()),
                    serializer=None,
                    content_type="application/x-python-serialize",
                    content_encoding="binary",
                )
            icfqueue.good("enqueue", "study_1")
            icfqueue.good("status", "study_1", "--wait")
            wait_until(all_refused, 20, "what is refused is said", log.read_text)
        app.close()
    assert icfqueue_files(project) == {"study_1", ".icfqueue"} & icfqueue_files(project)
    assert not list(tmp_path.rglob("evil*"))


def icfqueue_files(store: Path) -> set[str]:
    return {path.name for path in store.iterdir()}


def test_files_have_the_store_s_group_and_a_mode_that_the_umask_allows(
    project: Path,
) -> None:
    group = next((gid for gid in os.getgroups() if gid != os.getegid()), os.getegid())
    os.chown(project, -1, group)
    icfqueue = Icfqueue(project)
    done = subprocess.run(
        ["sh", "-c", "umask 027; exec icfqueue run study_1 --jobs 1"],
        env=icfqueue.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    visit = Visit("study_1", "visit_01")
    for name in (
        visit.refs,
        visit.repo_export,
        visit.metadata_tarball,
        visit.metadata_dicoms,
    ):
        found = (project / "study_1" / name).stat()
        assert stat.S_IMODE(found.st_mode) == 0o640
        assert found.st_gid == group
    page = project / "study_1" / "catalog" / "index.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    broker = project / ".icfqueue" / "broker"
    assert stat.S_IMODE(broker.stat().st_mode) == 0o700


def test_the_embedded_server_listens_on_nothing_but_its_owner_s_socket(
    project: Path, tmp_path: Path
) -> None:
    icfqueue = Icfqueue(project)
    log = tmp_path / "log"
    with working(icfqueue, log):
        icfqueue.good("enqueue", "study_1")
        icfqueue.good("status", "study_1", "--wait")
        address = re.search(r"redis\+socket://(\S+)", log.read_text())
        assert address
        server = next(line for line in command_lines() if address[1] in line)
        opened = Path(f"/proc/{server.split()[0]}/fd").iterdir()
        sockets = {str(link.readlink()) for link in opened}
        inodes = {name[8:-1] for name in sockets if name.startswith("socket:[")}
        tcp = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        assert not [line for line in tcp.splitlines()[1:] if line.split()[9] in inodes]
        path = Path(address[1].rstrip("/"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
