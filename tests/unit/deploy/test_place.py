"""What the files name: without a password, and with what workers must know."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.places import ODD, ONE, PASSWORD, place

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Secret, Settings, load
from icfqueue.deploy import files
from icfqueue.deploy.place import Place, check_for_files


def test_the_user_of_the_broker_stays_in_its_address() -> None:
    assert place().broker == "redis://me@broker.example.org:6379/0"
    bare = Settings(broker_url=Secret("rediss://broker.example.org/1"))
    assert Place(bare, "x").broker == "rediss://broker.example.org/1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://h/0?password={PASSWORD}", "redis://h/0"),
        (f"redis://u@h/0?db=1&password={PASSWORD}", "redis://u@h/0?db=1"),
        ("unix:///run/icf/valkey.sock?db=0", "redis+socket:///run/icf/valkey.sock"),
    ],
)
def test_a_password_or_a_socket_at_the_end_of_an_address_is_known(
    url: str, shown: str
) -> None:
    """redis-py takes them from there."""
    told = Place(Settings(broker_url=Secret(url)), "x").broker
    assert told is not None
    assert told.startswith(shown)
    assert PASSWORD not in told


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:6379/0", "do not reach the broker"),
        ("redis://icfqueue-producer@h/0", "icfqueue-producer may take no work"),
        ("redis://icfqueue-worker@h/0", ""),
    ],
)
def test_what_would_keep_workers_from_working_is_told(url: str, words: str) -> None:
    (said,) = [*Place(Settings(broker_url=Secret(url)), "x").cautions("slurm")] or [""]
    assert words in said
    assert bool(words) is bool(said)


CHANGED: dict[str, Any] = {
    "grace": 300.0,
    "keep_free": 0,
    "task_events": False,
    "stall": {**Settings().stall, "fetch": 600.0},
    "catalog_name": 'It\'s "our" $tudy',
    "notify": Secret("https://hooks.example.org/s3same0pen"),
}


def test_other_settings_reach_the_workers_as_they_were_and_secrets_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are the default are left out."""
    monkeypatch.chdir(tmp_path)
    where = place(**CHANGED)
    (file,) = files.slurm(where, ONE)
    assert "s3same0pen" not in file.text
    assert "ICFQUEUE_LEASE" not in file.text
    lines = [line for line in file.text.splitlines() if line.startswith("export ")]
    script = "\n".join([*lines, "env -0"])
    told = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True
    )
    for pair in told.stdout.split("\0"):
        name, _, value = pair.partition("=")
        if name.startswith("ICFQUEUE_"):
            monkeypatch.setenv(name, value)
    loaded = load()
    assert {name: getattr(loaded, name) for name in CHANGED} == {**CHANGED, "notify": None}
    (composed,) = files.compose(where, ONE)
    environment = yaml.safe_load(composed.text)["x-service"]["environment"]
    assert environment["ICFQUEUE_GRACE"] == "300.0"
    assert environment["ICFQUEUE_CATALOG_NAME"] == 'It\'s "our" $$tudy'


def test_compose_says_that_it_has_a_broker_of_its_own() -> None:
    (said,) = place().cautions("compose")
    assert "broker.example.org:6379/0 is not used" in said
    assert PASSWORD not in said


def test_what_cannot_stand_in_a_line_is_refused() -> None:
    with pytest.raises(UsageError, match="ICFQUEUE_STORE_DIR"):
        check_for_files(place("/data/x\nExecStartPre=/bin/evil"))
    check_for_files(place(ODD))
