"""``icfqueue clone``: a visit, or a whole project, for a scientist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from icfqueue.cli.options import credential_option, store_url_option
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.completers import complete_clone, complete_projects
from icfqueue.cli.shell.folding import say


@click.command()
@click.argument("project", metavar="PROJECT|URL|PATH", shell_complete=complete_projects)
@click.argument("rest", nargs=-1, metavar="[VISIT] [DEST]", shell_complete=complete_clone)
@credential_option
@store_url_option
def clone(project: str, rest: tuple[str, ...], **where: Any) -> int:
    """Clone the dataset of a VISIT, or of a whole PROJECT, from the store URL.

    The clone holds no image; `datalad get PATH` brings one, by itself and not with its
    tarball. A word with a "/" in it, or ".", is the folder DEST. Instead of names the
    whole URL of a dataset can be given, or the path of one that is in a store directory
    here: STORE/PROJECT, or STORE/PROJECT/VISIT.
    """
    from icfqueue.client import clones, local_datasets

    chosen = load_settings(where)
    if "::" in project or "://" in project:
        wanted = clones.wanted_url(project, chosen.credential)
        target = _target(rest)
    elif _is_folder(project):
        wanted = local_datasets.wanted_path(Path(project))
        target = _target(rest)
    else:
        visit = rest[0] if rest and not _is_folder(rest[0]) else None
        target = _target(rest[1:] if visit else rest)
        from icfqueue.remote.client import RemoteStore

        with RemoteStore.of(chosen) as remote:
            wanted = clones.wanted_dataset(remote, project, visit, chosen.credential)
    folder = target or Path(wanted.name)
    if clones.clone(wanted, folder):
        say(f"cloned into {folder}; an image comes by 'datalad get PATH' there")
    else:
        say(f"cloned into {folder}; it has no images in tarballs")
    return 0


def _is_folder(word: str) -> bool:
    return "/" in word or word == "."


def _target(words: tuple[str, ...]) -> Path | None:
    if len(words) > 1:
        raise click.UsageError(f"what is {words[1]!r}? PROJECT [VISIT] [DEST] are enough")
    return Path(words[0]) if words else None
