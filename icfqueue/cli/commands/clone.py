"""``icfqueue clone``: a visit, or a whole project, for a scientist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.options import credential_option, store_url_option
from icfqueue.cli.session import load_settings
from icfqueue.cli.shell.completers import complete_clone, complete_projects
from icfqueue.cli.shell.folding import say
from icfqueue.cli.shell.loudness import is_quiet

if TYPE_CHECKING:
    from icfqueue.client.clones import Wanted
    from icfqueue.core.settings import Settings


@click.command()
@click.argument("project", metavar="PROJECT|URL|PATH", shell_complete=complete_projects)
@click.argument("rest", nargs=-1, metavar="[VISIT] [DEST]", shell_complete=complete_clone)
@credential_option
@store_url_option
def clone(project: str, rest: tuple[str, ...], **where: Any) -> int:
    """Clone the dataset of a VISIT, or of a whole PROJECT, from the store URL.

    The clone holds no image; `datalad get PATH` brings one, by itself and not with its
    tarball. Instead of names the whole URL of a dataset can be given, or the path of one
    that is in a store directory here: STORE/PROJECT, or STORE/PROJECT/VISIT.

    A word with a "/" in it, or ".", is the folder DEST. Any other word behind a project is
    a VISIT of it, whether the project was given by its name, URL or path. Behind a visit,
    or behind the URL of anything else, it is DEST.
    """
    from icfqueue.client import cloned, clones

    wanted, target = _wanted(load_settings(where), project, rest)
    folder = target or Path(wanted.name)
    if not clones.clone(wanted, folder, quiet=is_quiet()):
        say(f"cloned into {folder}; it has no images in tarballs")
        return 0
    said = f"cloned into {folder}; an image comes by 'datalad get PATH' there"
    place = cloned.images_from(folder)
    say(f"{said}, from {place}" if place else said)
    return 0


def _wanted(
    chosen: Settings, project: str, rest: tuple[str, ...]
) -> tuple[Wanted, Path | None]:
    """Return what is to be cloned, and the folder that was given for it."""
    from icfqueue.client import clones, local_datasets
    from icfqueue.remote.client import RemoteStore

    visit, left = (rest[0], rest[1:]) if rest and not _is_folder(rest[0]) else (None, rest)
    is_url = "::" in project or "://" in project
    is_path = not is_url and _is_folder(project)
    whole = clones.project_of(project) if is_url else None
    if (is_url and not whole) or (is_path and not local_datasets.is_project(Path(project))):
        # It has no visits.
        visit, left = None, rest
    target = _target(left)
    if whole and visit:
        url, project = whole
        if url.startswith("file://"):
            path = Path(url.removeprefix("file://"), project)
            return local_datasets.wanted_path(path, visit), target
        with RemoteStore(url, chosen.credential) as remote:
            found = clones.wanted_dataset(remote, project, visit, chosen.credential)
    elif is_url:
        found = clones.wanted_url(project, chosen.credential)
    elif is_path:
        found = local_datasets.wanted_path(Path(project), visit)
    else:
        with RemoteStore.of(chosen) as remote:
            found = clones.wanted_dataset(remote, project, visit, chosen.credential)
    return found, target


def _is_folder(word: str) -> bool:
    return "/" in word or word == "."


def _target(words: tuple[str, ...]) -> Path | None:
    if len(words) > 1:
        raise click.UsageError(f"what is {words[1]!r}? PROJECT [VISIT] [DEST] are enough")
    return Path(words[0]) if words else None
