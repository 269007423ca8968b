"""``icfqueue range``: single images instead of whole tarballs, in clones that exist."""

from __future__ import annotations

from pathlib import Path

import click

from icfqueue.cli.planning import counted
from icfqueue.cli.shell.folding import say


@click.command("range")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.argument("dataset", type=click.Path(path_type=Path), default=Path())
def range_access(switch: str, dataset: Path) -> int:
    """Read single images from the store instead of whole tarballs, or no longer.

    Works on the clone DATASET (default: this folder) and all datasets in it.
    """
    from icfqueue.client import clones

    done = clones.switch_on(dataset) if switch == "on" else clones.switch_off(dataset)
    say(f"range access is {switch} in {counted(len(done), 'dataset')}")
    return 0
