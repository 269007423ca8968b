"""``icfqueue deploy``: files that start workers on a cluster."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import queues_option, where_options
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.folding import say
from icfqueue.core.errors import UsageError

if TYPE_CHECKING:
    from icfqueue.deploy.files import File
    from icfqueue.deploy.plan import Plan

KINDS = ("slurm", "htcondor", "systemd", "apptainer", "compose")
WALLTIME = "4h"
"""Of a worker, unless a deadline says more."""

ENDLESS = {
    "systemd": "a service works until it is stopped",
    "apptainer": "an image has none; give it to its worker: 'worker --walltime 4h'",
    "compose": "a container works until it is stopped",
}
"""Kinds whose files have no walltime."""

SMALLEST = 10_240
"""Bytes of the smallest tar that tar writes: a record of 20 blocks."""

SHORTEST = 120
"""Seconds of the shortest walltime: workers are told a minute before its end."""

_SITE = [
    click.option(
        "--visits",
        type=click.IntRange(min=1),
        default=10_000,
        show_default=True,
        help="How many visits there are.",
    ),
    click.option(
        "--visit-size",
        metavar="SIZE",
        default="10GB",
        show_default=True,
        help="Of a visit's tarball.",
    ),
    click.option(
        "--image-size",
        metavar="SIZE",
        default="212kB",
        show_default=True,
        help="Of a DICOM file; a visit of many small ones takes longer.",
    ),
    click.option("--local", is_flag=True, help="The tarballs are in the store directory."),
    click.option(
        "--store-rate",
        metavar="SIZE",
        default="1.25GB",
        show_default=True,
        help="What the store on the web sends in a second.",
    ),
    click.option(
        "--stream-rate",
        metavar="SIZE",
        default="110MB",
        show_default=True,
        help="The same, over one connection.",
    ),
    click.option(
        "--disk-rate",
        metavar="SIZE",
        default="5GB",
        show_default=True,
        help="What the store directory reads and writes in a second.",
    ),
    click.option(
        "--network-rate",
        metavar="SIZE",
        default="1.25GB",
        show_default=True,
        help="Of a machine, in a second.",
    ),
    click.option(
        "--cores",
        type=click.IntRange(min=1),
        default=16,
        show_default=True,
        help="Of a machine.",
    ),
]


def _site_options(function: Any) -> Any:
    for option in reversed(_SITE):
        function = option(function)
    return function


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--workers",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="How many: elements of a job array, or machines.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1024),
    default=4,
    show_default=True,
    help="Processes of each, at most.",
)
@click.option(
    "--walltime",
    metavar="TIME",
    help="How long each is there (slurm, htcondor): 90m, 4h, 1-12:00:00.  [default: 4h, or "
    "the deadline]",
)
@queues_option
@click.option(
    "--deadline",
    metavar="TIME",
    help="Reckon how many workers of each queue do all visits in this time, for the site "
    "that the options below tell.",
)
@_site_options
@click.option(
    "--program",
    metavar="PATH",
    help="icfqueue on the workers' machines, from the top.  [default: this one]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the files below this folder; one that is there stays.",
)
@where_options
def deploy(kind: str, output: Path | None, **asked: Any) -> int:
    """Print the files that start workers; send nothing.

    They name the broker and the store of your settings, and no password. KIND is slurm,
    htcondor, systemd (a user's unit and one of the system), apptainer (an image) or
    compose (all on one machine).
    """
    from icfqueue.deploy.files import KINDS as MAKERS
    from icfqueue.deploy.place import Place, check_for_files

    place = Place(load_settings(asked), _program(asked["program"]))
    check_for_files(place)
    plan = _plan(kind, asked)
    made = MAKERS[kind](place, plan)
    if output is None:
        _print(made)
    else:
        _write(made, output)
    for line in (*plan.words, *place.cautions(kind)):
        say(line, err=True)
    return 0


def _program(named: str | None) -> str:
    """Return the path of ``icfqueue`` on the workers' machines.

    Raises
    ------
    UsageError
        None is named, or one that depends on where somebody stands.
    """
    if named is None:
        return str(Path(sys.executable).with_name("icfqueue"))
    if named.startswith("/"):
        return named
    found = shutil.which(named) if named and "/" not in named else None
    if found is None:
        at = f", for example {Path(named).absolute()}" if "/" in named else ""
        raise UsageError(
            f"--program: {named!r} is no path from the top, and no program here",
            hint=f"name it from the top, as the workers' machines have it{at}",
        )
    return str(Path(found).absolute())


def _plan(kind: str, asked: dict[str, Any]) -> Plan:
    from icfqueue.deploy import plan
    from icfqueue.deploy.files import COMPOSE_PROCESSES
    from icfqueue.operations.worker_process import parse_queues, parse_time

    queues = parse_queues(asked["queues"])
    walltime = None if asked["walltime"] is None else parse_time(asked["walltime"])
    if walltime is not None and kind in ENDLESS:
        raise UsageError(
            f"--walltime: {ENDLESS[kind]}",
            hint="leave it out: it is for slurm and htcondor",
        )
    if walltime is not None and walltime < SHORTEST:
        raise UsageError(
            f"--walltime: {asked['walltime']} is shorter than a worker takes to hand over",
            hint=f"give it {SHORTEST} s or more",
        )
    if asked["deadline"]:
        return plan.by_deadline(
            _site(asked),
            parse_time(asked["deadline"], "--deadline"),
            processes=asked["concurrency"],
            queues=queues,
            seconds=walltime,
        )
    seconds = walltime or parse_time(WALLTIME)
    if kind == "compose":
        return plan.by_queue(asked["workers"], COMPOSE_PROCESSES, queues, seconds)
    return plan.plain(asked["workers"], asked["concurrency"], queues, seconds)


def _site(asked: dict[str, Any]) -> Any:
    from icfqueue.deploy.model import Site
    from icfqueue.deploy.plan import parse_bytes

    visit_bytes = parse_bytes(asked["visit_size"])
    if visit_bytes < SMALLEST:
        raise UsageError(
            f"--visit-size {asked['visit_size']} is {visit_bytes:g} bytes, and no tar is "
            "so small",
            hint="with a unit: --visit-size 5GB",
        )
    return Site(
        visits=asked["visits"],
        visit_bytes=visit_bytes,
        dicom_bytes=parse_bytes(asked["image_size"]),
        store=parse_bytes(asked["store_rate"]),
        stream=parse_bytes(asked["stream_rate"]),
        disk=parse_bytes(asked["disk_rate"]),
        network=parse_bytes(asked["network_rate"]),
        cores=asked["cores"],
        local=asked["local"],
    )


def _print(made: list[File]) -> None:
    """Print the files; where there are several, each below a line with its name."""
    for number, file in enumerate(made):
        if len(made) > 1:
            click.echo(f"{'' if number == 0 else chr(10)}# ==> {file.path} <==")
        click.echo(file.text, nl=False)


def _write(made: list[File], folder: Path) -> None:
    """Write the files and name them; one that is there and differs stays.

    Raises
    ------
    UsageError
        One of them is there already, with something else in it, or cannot be written.
    """
    for file in made:
        path = folder / file.path
        if path.exists() and path.read_bytes() != file.text.encode():
            raise UsageError(
                f"{path} is there, and is not what would be written",
                hint="move it away, or name another folder with -o",
            )
    for file in made:
        path = folder / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None
        click.echo(str(path))
