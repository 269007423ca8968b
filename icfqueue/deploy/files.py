"""Files that start workers: made of templates, settings and a plan; nothing is sent.

The templates are in ``icfqueue/assets/deploy``; ``@name@`` stands for a value, which is
quoted as the format of the file asks. The same arguments give the same bytes.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from icfqueue.broker.connection import configured
from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings, whole_path
from icfqueue.deploy.plan import Group, Plan, clock
from icfqueue.pipeline.heartbeat import LAST_WORD

MARGIN = 30
"""Seconds beyond what a worker takes to stop, before it is killed."""

COMPOSE_PROCESSES = {"fetch": 2, "index": 4, "export": 2, "catalog": 1}
"""Of the worker of each queue, where all are on one machine."""


@dataclass(frozen=True)
class File:
    """One file: where it belongs, below a folder of your choice, and what is in it."""

    path: str
    text: str


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


def slurm(place: Place, plan: Plan) -> list[File]:
    """Return a job array for each group of workers."""
    return [
        _made(
            "worker.slurm",
            f"worker{_suffix(group)}.slurm",
            words=_comment(plan.words),
            job=f"icfqueue{_suffix(group)}",
            array=f"1-{group.workers * plan.waves}"
            + (f"%{group.workers}" if plan.waves > 1 else ""),
            processes=str(group.processes),
            memory=f"{_mebibytes(group)}M",
            time=clock(plan.seconds),
            stop=str(place.stop),
            variables="\n".join(
                f"export {name}={shlex.quote(value)}" for name, value in _with_broker(place)
            ),
            program=shlex.quote(place.program),
            queues=",".join(group.queues),
        )
        for group in plan.groups
    ]


def htcondor(place: Place, plan: Plan) -> list[File]:
    """Return a submit description for each group of workers."""
    return [
        _made(
            "worker.htcondor",
            f"worker{_suffix(group)}.htcondor",
            words=_comment(plan.words),
            name=f"icfqueue{_suffix(group)}",
            program=_dollars(place.program),
            environment=" ".join(
                _condor(f"{name}={value}") for name, value in _with_broker(place)
            ),
            processes=str(group.processes),
            memory=str(_mebibytes(group) * group.processes),
            walltime=f"{math.ceil(plan.seconds)}s",
            stop=str(place.stop),
            queues=",".join(group.queues),
            limit=f"max_materialize = {group.workers}\n" if plan.waves > 1 else "",
            count=str(group.workers * plan.waves),
        )
        for group in plan.groups
    ]


def systemd(place: Place, plan: Plan) -> list[File]:
    """Return for each group a unit of a user and one of the system."""
    made = []
    for kind in ("user", "system"):
        for group in plan.groups:
            unit = f"icfqueue-worker{_suffix(group)}"
            made.append(
                _made(
                    f"worker-{kind}.service",
                    f"systemd/{kind}/{unit}.service",
                    words=_comment(plan.words),
                    unit=unit,
                    machines="one machine"
                    if group.workers == 1
                    else f"each of {group.workers} machines",
                    variables="\n".join(
                        f"Environment={_systemd(f'{name}={value}')}"
                        for name, value in place.variables()
                    ),
                    # Here '$' begins a name, too (systemd.service(5)).
                    program=_systemd(place.program).replace("$", "$$"),
                    store=_systemd(place.store_dir),
                    processes=str(group.processes),
                    queues=",".join(group.queues),
                    stop=str(place.stop),
                )
            )
    return made


def apptainer(place: Place, plan: Plan) -> list[File]:
    """Return the definition of an image, and how it is run."""
    variables = " ".join(
        shlex.quote(f"{name}={value}") for name, value in _with_broker(place)
    )
    runs = [
        _template(
            "apptainer-run",
            {
                "machines": "each node"
                if len(plan.groups) == 1
                else f"{group.workers} of the nodes",
                "variables": variables,
                "store": shlex.quote(place.store_dir),
                "processes": str(group.processes),
                "queues": ",".join(group.queues),
            },
        )
        for group in plan.groups
    ]
    words = _comment(plan.words)
    return [
        _made("icfqueue.def", "apptainer/icfqueue.def", words=words, runs="".join(runs))
    ]


def compose(place: Place, plan: Plan) -> list[File]:
    """Return the services of one machine: broker, workers, catalogs, numbers, tasks."""
    workers = [
        _template(
            "compose-worker.yaml",
            {
                "name": group.name or "worker",
                "processes": str(group.processes),
                "queues": ",".join(group.queues),
                "scale": f"    scale: {group.workers}\n" if group.workers > 1 else "",
            },
        )
        for group in plan.groups
    ]
    return [
        _made(
            "compose.yaml",
            "compose.yaml",
            words=_comment(plan.words),
            store_url=_compose(place.settings.store_url),
            stop=str(place.stop),
            workers="".join(workers),
        )
    ]


KINDS: dict[str, Callable[[Place, Plan], list[File]]] = {
    "slurm": slurm,
    "htcondor": htcondor,
    "systemd": systemd,
    "apptainer": apptainer,
    "compose": compose,
}
"""What files can be made for."""


def _with_broker(place: Place) -> list[tuple[str, str]]:
    if place.broker is None:
        raise UsageError(
            "workers on several machines need a broker that all of them reach",
            hint="--broker redis://icfqueue-worker@HOST:6379/0 (ops/valkey/valkey.conf)",
        )
    return list(place.variables())


def _suffix(group: Group) -> str:
    return f"-{group.name}" if group.name else ""


def _mebibytes(group: Group) -> int:
    """Return a process' memory, in steps of 64 MiB."""
    return math.ceil(group.memory / (64 << 20)) * 64


def _comment(words: tuple[str, ...]) -> str:
    return "".join(f"# {line}\n" for line in words)


def _dollars(text: str) -> str:
    """Have condor_submit(1) take no ``$(NAME)`` for a name of its own."""
    return text.replace("$", "$(DOLLAR)")


def _condor(text: str) -> str:
    """Quote for the new syntax of ``environment`` (condor_submit(1)), within its quotes."""
    text = _dollars(text).replace('"', '""')
    if re.search(r"[\s']", text):
        return "'" + text.replace("'", "''") + "'"
    return text


def _systemd(text: str) -> str:
    """Quote a word for a unit (systemd.syntax(7)), where '%' begins a name."""
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./$-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _compose(url: str) -> str:
    """Quote a URL within the default of a variable (compose specification), in YAML."""
    return quote(url, safe=":/%@[]!&()*+,;=~")


def _made(template: str, path: str, **values: str) -> File:
    values["file"] = path.rpartition("/")[2]
    return File(path, _template(template, values))


def _template(name: str, values: dict[str, str]) -> str:
    text = (resources.files("icfqueue") / "assets/deploy" / name).read_text()
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], text)
