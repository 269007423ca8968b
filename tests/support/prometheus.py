"""A real Prometheus on loopback that asks a real ``icfqueue metrics``."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import yaml

from support.needs import program
from support.valkey import free_port
from support.waiting import wait_until

OPS = Path(__file__).parents[2] / "ops"


@contextmanager
def metrics(store: Path, broker: str) -> Iterator[str]:
    """Run the installed command for the length of a block; yield host and port."""
    words = ["metrics", "--port", "0", "--store-dir", str(store), "--broker", broker]
    command = [str(Path(sys.executable).parent / "icfqueue"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("metrics are at http://"), said
            yield urllib.parse.urlsplit(said.split()[3]).netloc
        finally:
            process.terminate()
            assert process.wait(30) == 0


class Prometheus:
    """One server, with the settings of ``ops/prometheus/`` but its haste and addresses."""

    def __init__(self, folder: Path, target: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        found = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text())
        found["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        found["rule_files"] = [str(OPS / "prometheus" / "icfqueue.rules.yml")]
        found["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        self.settings = folder / "prometheus.yml"
        self.settings.write_text(yaml.safe_dump(found))
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            [
                program("prometheus", "prometheus"),
                f"--config.file={self.settings}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self) -> Self:
        wait_until(self._ready, 60, "Prometheus is ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _ready(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        with suppress(OSError), urllib.request.urlopen(f"http://{self.address}/-/ready"):
            return True
        return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        words = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{words}") as got:
            return json.load(got)["data"]

    def query(self, text: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series that `text` gives now."""
        found = self.ask("query", query=text)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def scraped(self, times: int = 2) -> None:
        """Wait until it has asked so many times more."""
        text = "count_over_time(icfqueue_up[1h])"

        def count() -> float:
            return sum(value for _, value in self.query(text))

        before = count()
        wait_until(lambda: count() >= before + times, 60, "Prometheus asks")
