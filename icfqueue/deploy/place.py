"""What the files that start workers name: places, programs, settings; no password."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from icfqueue.broker.connection import configured
from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings, whole_path
from icfqueue.pipeline.heartbeat import LAST_WORD

MARGIN = 30
"""Seconds beyond what a worker takes to stop, before it is killed."""

_PLACES = {
    *("store_dir", "store_url", "credential", "notify"),
    *("broker_url", "broker_password", "broker_ca_file"),
}
"""Settings that are handed on otherwise, or, as they hold a secret, by nobody."""


@dataclass(frozen=True)
class Place:
    """What the files name.

    Attributes
    ----------
    settings
        Broker and store.
    program
        Path of ``icfqueue`` on the machines of the workers.
    """

    settings: Settings
    program: str

    @property
    def store_dir(self) -> str:
        """The store directory, from the top."""
        return str(whole_path(self.settings.store_dir))

    @property
    def broker(self) -> str | None:
        """The broker's address with its user and without a password."""
        broker = configured(self.settings)
        if broker is None:
            return None
        parts = urlsplit(broker.url)
        login, _, host = parts.netloc.rpartition("@")
        user = login.partition(":")[0]
        netloc = f"{user}@{host}" if user else host
        # redis-py takes a password from there, too.
        asked = [pair for pair in parse_qsl(parts.query, True) if pair[0] != "password"]
        query = f"?{urlencode(asked)}" if asked else ""
        # Not by urlunsplit, which leaves out the slashes before a socket.
        return f"{parts.scheme}://{netloc}{parts.path}{query}"

    def cautions(self, kind: str) -> Iterator[str]:
        """Yield what makes workers fail that are started by files of this kind."""
        if kind == "compose":
            if self.broker:
                yield (
                    f"note: compose brings a broker of its own; {self.broker} is not used"
                )
            return
        parts = urlsplit(self.broker or "")
        host = parts.hostname or ""
        near = host in {"", "localhost", "::1"} or host.startswith("127.")
        if self.broker and near and kind in {"slurm", "htcondor", "apptainer"}:
            yield (
                f"caution: other machines do not reach the broker at {self.broker}; name "
                "it as they do, with --broker redis://icfqueue-worker@HOST:6379/0"
            )
        if (parts.username or "").removeprefix("icfqueue-") in {
            "producer",
            "reader",
            "monitor",
        }:
            yield (
                f"caution: the broker's user {parts.username} may take no work; that of "
                "workers is icfqueue-worker"
            )

    @property
    def stop(self) -> int:
        """Seconds that a worker is given to hand over what it has."""
        return math.ceil(self.settings.grace + LAST_WORD + MARGIN)

    def variables(self) -> Iterator[tuple[str, str]]:
        """Yield what the workers' environment tells them; no password is among it."""
        yield "ICFQUEUE_STORE_DIR", self.store_dir
        yield "ICFQUEUE_STORE_URL", self.settings.store_url
        if self.broker:
            yield "ICFQUEUE_BROKER_URL", self.broker
        if self.settings.broker_ca_file:
            yield "ICFQUEUE_BROKER_CA_FILE", str(self.settings.broker_ca_file.absolute())
        if self.settings.credential:
            yield "ICFQUEUE_CREDENTIAL", self.settings.credential
        yield from self.others()

    def others(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that are not the default, and name no place."""
        usual = Settings()
        for name in Settings.__struct_fields__:
            value = getattr(self.settings, name)
            if name not in _PLACES and value != getattr(usual, name):
                yield f"ICFQUEUE_{name.upper()}", _as_variable(value)


def check_for_files(place: Place) -> None:
    """Raise if a value cannot stand in a line of a file.

    Raises
    ------
    UsageError
        There is a line's end, or another sign that is not printed, in it.
    """
    for name, value in (*place.variables(), ("--program", place.program)):
        if not value.isprintable():
            raise UsageError(f"{name}: {value!r} cannot stand in a file")


def _as_variable(value: Any) -> str:
    """Return a setting as its variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value.absolute() if isinstance(value, Path) else value)
