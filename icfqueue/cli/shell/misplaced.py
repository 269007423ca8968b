"""Who names a project by the way to its folder, or is in it: which command was meant."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icfqueue.cli.shell.again import PLACE, TYPED, this_with
from icfqueue.core.errors import UsageError

if TYPE_CHECKING:
    from icfqueue.core.settings import Settings


def check_project_meant(settings: Settings) -> None:
    """Raise if the project that was typed is the way to a project's folder.

    Before anything is made in the store directory, which is another one then.

    Raises
    ------
    UsageError
        With the command that was meant.
    """
    ctx = click.get_current_context(silent=True)
    typed = ctx.meta.get(TYPED, "") if ctx else ""
    if ctx is None or not typed:
        return
    from icfqueue.core.settings import whole_path
    from icfqueue.core.visit import is_id, project_named

    root = whole_path(settings.store_dir)
    if not is_id(project_named(typed)):
        _refuse_way(ctx, typed, root)
        return
    project = project_named(typed)
    if root.name == project and not (root / project).exists() and _is_project(root):
        given = Path(ctx.meta.get(PLACE, {}).get("--store-dir", settings.store_dir))
        parent = _named_like(given, root.parent)
        raise UsageError(
            f"{root} is the folder of {project}, not the store directory",
            hint=_meant(store_dir=parent),
        )


def _refuse_way(ctx: click.Context, typed: str, root: Path) -> None:
    """Raise if `typed` is the way to a project's folder, or nearly, or to a tarball."""
    from icfqueue.core.visit import TAR_SUFFIX

    way = Path(typed)
    folder = Path(os.path.abspath(way))  # noqa: PTH100 - a link's own name counts
    other: dict[str, Any] = {}
    if folder.name.endswith(TAR_SUFFIX) and folder.is_file():
        if "visits" in ctx.params and not ctx.params["visits"]:
            other["visits"] = (folder.name.removesuffix(TAR_SUFFIX),)
        folder = folder.parent
    said = f"{typed} is a path; PROJECT is the name of a folder in the store directory"
    if not _is_project(folder):
        near = _near(folder)
        if near is None:
            # No more can be said than that it is no id.
            return
        said, folder = f"there is no project {typed}", folder.parent / near
    other["project"] = folder.name
    if folder.parent != root:
        other["store_dir"] = _named_like(way, folder.parent)
    raise UsageError(said, hint=_meant(**other))


def _near(folder: Path) -> str | None:
    """Return the project beside `folder` that may have been meant."""
    try:
        names = [entry.name for entry in os.scandir(folder.parent) if entry.is_dir()]
    except OSError:
        return None
    near = difflib.get_close_matches(folder.name, names, 3)
    return next((name for name in near if _is_project(folder.parent / name)), None)


def _is_project(folder: Path) -> bool:
    from icfqueue.core.visit import is_id
    from icfqueue.store.inventory import is_project
    from icfqueue.store.reading import StoreReader

    return is_id(folder.name) and is_project(StoreReader(folder.parent), folder.name)


def _named_like(given: Path, folder: Path) -> str:
    """Return the name of a folder: from here if `given` is so, else in whole."""
    return str(folder) if given.is_absolute() else os.path.relpath(folder)


def _meant(**other: Any) -> str:
    return f"did you mean: `{this_with(**other)}`"
