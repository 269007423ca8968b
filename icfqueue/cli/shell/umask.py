"""What is said at the start where the umask works against a store that a group shares."""

from __future__ import annotations

from pathlib import Path

import click

from icfqueue.cli.shell.folding import say
from icfqueue.store.beneath.sharing import UMASK, taken_by_umask, umask_remedy


def warn_of_umask(store_dir: Path) -> None:
    """Say so if the umask takes rights from the group that shares the store directory.

    What the workers make there is the group's all the same; what else is copied there
    under this umask is not.
    """
    if taken := taken_by_umask(store_dir):
        click.secho(
            f"icfqueue: the group may write in {store_dir}, but the umask {UMASK:03o} "
            f"takes rights from it: {taken}",
            fg="yellow",
            err=True,
        )
        say(umask_remedy(), 2, err=True)
