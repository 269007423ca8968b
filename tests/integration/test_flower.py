"""Flower itself shows tasks as they ended, with no right but to listen."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from support.access import PASSWORD, acl_file
from support.browser import open_browser
from support.commands import BIN, Icfqueue
from support.in_process_queue import InProcessQueue
from support.valkey import Valkey, free_port
from support.waiting import wait_until

from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger

ROOT = Path(__file__).parents[2]
BAD, AWAY = Visit("study_1", "bad"), Visit("study_1", "away")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tcp=True, options={"include": str(acl_file(tmp_path))}) as server:
        yield server


def url(server: Valkey, user: str) -> str:
    return f"redis://icfqueue-{user}:{PASSWORD}@127.0.0.1:{server.port}/0"


class Flower:
    """Flower for one broker; used as a context manager."""

    def __init__(self, broker: str, store: Path, log: Path) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        environment = {
            **os.environ,
            "ICFQUEUE_BROKER_URL": broker,
            "ICFQUEUE_STORE_DIR": str(store),
            "FLOWER_UNAUTHENTICATED_API": "true",
        }
        port = self.address.rpartition(":")[2]
        words = ["-A", "workers", "flower", "--address=127.0.0.1", f"--port={port}"]
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [str(BIN / "celery"), *words],
                env=environment,
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> Self:
        wait_until(lambda: self.get("/api/tasks") is not None, 60, "Flower answers")
        return self

    def __exit__(self, *_: object) -> None:
        # Told to end, it waits for answers of workers, which give none.
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> Any:
        with suppress(OSError), urllib.request.urlopen(self.address + path) as answer:
            return json.load(answer)
        return None

    def tasks(self, state: str) -> list[dict[str, Any]]:
        found = self.get("/api/tasks").values()
        return [task for task in found if task["state"] == state]


def test_flower_shows_what_failed_and_what_is_tried_again(
    broker: Valkey, settings: Settings, tmp_path: Path
) -> None:
    store = settings.store_dir
    icfqueue = Icfqueue(
        store,
        {"ICFQUEUE_BROKER_URL": url(broker, "worker"), "ICFQUEUE_RETRY_BASE": "600"},
    )
    with (
        broker.client() as client,
        Flower(url(broker, "monitor"), store, tmp_path / "flower.log") as flower,
    ):
        queue = InProcessQueue.on(broker, settings, RedisLedger(client))
        visits = queue.build(2)
        queue.store.path(BAD, BAD.tarball).write_bytes(b"\x1b[31m no tarball")
        log = tmp_path / "worker.log"
        worker = icfqueue.start("worker", "--concurrency", "2", log=log)
        try:
            wait_until(lambda: flower.get("/workers?json=1")["data"], 60, "it is seen")
            queue.enqueue([*visits, BAD, AWAY])
            wait_until(
                lambda: (
                    len(flower.tasks("SUCCESS")) >= 10
                    and flower.tasks("FAILURE")
                    and flower.tasks("RETRY")
                ),
                60,
                "all are shown",
                log.read_text,
            )
            (failed,), (again,) = flower.tasks("FAILURE"), flower.tasks("RETRY")
            (seen,) = flower.get("/workers?json=1")["data"]
            looked_at(flower, failed, tmp_path)
        finally:
            worker.terminate()
            assert worker.wait(60) == 0
        queue.close()
        assert failed["name"] == "icfqueue.index_tar"
        assert failed["exception"].startswith("StepFailed('study_1/bad index_tar: no-tar: ")
        assert again["name"] == "icfqueue.fetch"
        assert again["exception"].startswith("TriedAgain('study_1/away fetch: network: ")
        assert seen["status"] is True
        assert PASSWORD not in json.dumps(flower.get("/api/tasks"))
        # It asked for nothing that it must not have, but for answers of workers.
        tried = {
            (entry["username"], entry["object"])
            for entry in client.acl_log()
            if not entry["object"].startswith("client|")
        }
        assert tried <= {("icfqueue-monitor", "brpop")}
        # Of what failed only one line is logged, and no traceback.
        assert "Traceback" not in log.read_text()


def looked_at(flower: Flower, failed: dict[str, Any], folder: Path) -> None:
    """See its page of tasks, and that of the one that failed."""
    with open_browser(folder / "profile") as browser:
        browser.open(f"{flower.address}/tasks")
        browser.wait("td", "FAILURE")
        browser.wait("td", "RETRY")
        browser.open(f"{flower.address}/task/{failed['uuid']}")
        browser.wait("body", "no-tar")
