"""Files that start workers: made of templates, settings and a plan; nothing is sent.

The templates are in ``icfqueue/assets/deploy``; ``@name@`` stands for a value, which is
quoted as the format of the file asks. The same arguments give the same bytes.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from urllib.parse import quote

from icfqueue.core.errors import UsageError
from icfqueue.deploy.place import Place
from icfqueue.deploy.plan import Group, Plan, clock

MOST_ELEMENTS = 1000
"""Elements of a job array that Slurm takes where nobody raised its ``MaxArraySize``."""

COMPOSE_PROCESSES = {"fetch": 2, "index": 4, "export": 2, "catalog": 1}
"""Of the worker of each queue, where all are on one machine."""


@dataclass(frozen=True)
class File:
    """One file: where it belongs, below a folder of your choice, and what is in it."""

    path: str
    text: str


def slurm(place: Place, plan: Plan) -> list[File]:
    """Return a job array for each group of workers."""
    return [
        _made(
            "worker.slurm",
            f"worker{_suffix(group)}.slurm",
            submit=_submit(f"worker{_suffix(group)}.slurm", arrays(group, plan.waves)),
            words=_comment(plan.words),
            job=f"icfqueue{_suffix(group)}",
            array=arrays(group, plan.waves)[0],
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


def arrays(group: Group, waves: int) -> list[str]:
    """Return the job arrays of a group as ``--array`` has them, the largest first.

    Raises
    ------
    UsageError
        The workers that follow one another are more than an array has elements.
    """
    if waves > MOST_ELEMENTS:
        raise UsageError(
            f"--walltime: {waves:,} workers would follow one another",
            hint=f"give each more time: at most {MOST_ELEMENTS:,} may",
        )
    most = MOST_ELEMENTS // waves
    full, rest = divmod(group.workers, most)
    return [
        f"1-{workers * waves}" + (f"%{workers}" if waves > 1 else "")
        for workers in [most] * full + [rest] * (rest > 0)
    ]


def _submit(file: str, wanted: list[str]) -> str:
    """Return the commands that submit a script as so many job arrays."""
    first = [array for array in wanted if array == wanted[0]]
    sbatch = f"sbatch {file}"
    if len(first) > 1:
        sbatch = f"for part in $(seq {len(first)}); do {sbatch}; done"
    lines = [sbatch, *(f"sbatch --array={array} {file}" for array in wanted[len(first) :])]
    commands = "".join(f"#   {line}\n" for line in lines)
    if len(wanted) == 1:
        return commands
    return (
        f"{commands}# Several, for Slurm takes {MOST_ELEMENTS:,} elements unless told "
        "otherwise\n# (scontrol show config | grep MaxArraySize).\n"
    )


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
    several = any(group.workers > 1 for group in plan.groups)
    variables = _with_broker(place) if several else list(place.variables())
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
                        for name, value in variables
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
                "binds": " ".join(f"--bind {shlex.quote(path)}" for path in _binds(place)),
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
            store=_compose_path(place.store_dir),
            enqueuer=plan.groups[0].name or "worker",
            store_url=_compose(place.settings.store_url),
            more="".join(
                f"    {name}: {json.dumps(value.replace('$', '$$'))}\n"
                for name, value in place.others()
                # A file of this machine, which no container sees.
                if name != "ICFQUEUE_CATALOG_LOGO"
            ),
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


def _binds(place: Place) -> list[str]:
    """Return what an image's workers must see of the machine."""
    files = (place.settings.broker_ca_file, place.settings.catalog_logo)
    paths = [place.store_dir, *(str(file.absolute()) for file in files if file)]
    for path in paths:
        if set(path) & set(":,"):
            # Both part the words of the option (apptainer-run(1)).
            raise UsageError(f"--bind of Apptainer has no ':' and no ',' in a path: {path}")
    return paths


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


def _compose_path(path: str) -> str:
    """Return the default of ``ICFQUEUE_STORE``, in YAML.

    Raises
    ------
    UsageError
        There is a brace in it, which would end the default.
    """
    if "}" in path:
        raise UsageError(f"compose.yaml cannot name {path}, for there is a '}}' in it")
    # What JSON quotes is quoted for YAML, too; '$$' is a dollar sign of compose.
    dollars = path.replace("$", "$$")
    return json.dumps(f"${{ICFQUEUE_STORE:-{dollars}}}", ensure_ascii=False)


def _made(template: str, path: str, **values: str) -> File:
    values["file"] = path.rpartition("/")[2]
    return File(path, _template(template, values))


def _template(name: str, values: dict[str, str]) -> str:
    text = (resources.files("icfqueue") / "assets/deploy" / name).read_text()
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], text)
