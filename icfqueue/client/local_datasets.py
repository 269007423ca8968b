"""Datasets in a store directory of this machine, to be cloned without the web."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from urllib.parse import quote

from icfqueue.client.clones import Wanted
from icfqueue.client.misspelt import guess
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import TAR_SUFFIX, Visit, check_id
from icfqueue.outputs.deposit import REFS, clone_url

_TAKEN = (
    "name a project's folder in a store directory, or that and a visit, of a project that "
    "is done"
)


def is_project(path: Path) -> bool:
    """Return whether a path can be a project's: that of a visit's dataset is no folder."""
    return _whole(path).is_dir()


def wanted_path(path: Path, visit: str | None = None) -> Wanted:
    """Return what to clone for a project's folder in a store directory, or a visit in it.

    Parameters
    ----------
    visit
        Of the project whose folder `path` is. Without it `path` may end in one.

    Raises
    ------
    BadId
        It is not called as a project or a visit.
    UsageError
        There is no deposit; names what is almost called so.
    """
    whole = _whole(path)
    if visit is not None:
        return _wanted_visit(whole, visit, is_word=True)
    if (whole / REFS).is_file():
        store, subject = whole.parent, check_id(whole.name, "project")
        return Wanted(clone_url(_local(store), subject), whole.name)
    if whole.is_dir() or not whole.parent.is_dir():
        raise UsageError(f"there is no dataset at {path}", hint=_TAKEN)
    return _wanted_visit(whole.parent, whole.name, is_word=False)


def _whole(path: Path) -> Path:
    # Without "..", and with links as they are: names are taken of it.
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib keeps ".."


def _wanted_visit(folder: Path, name: str, *, is_word: bool) -> Wanted:
    visit = Visit(folder.name, name)
    if (folder / visit.refs).is_file():
        return Wanted(clone_url(_local(folder.parent), visit), visit.id)
    raise UsageError(
        f"there is no dataset at {folder / name}", hint=_near(folder, visit, is_word)
    )


def _near(folder: Path, visit: Visit, is_word: bool) -> str:
    """Return a guess at what was meant by a name in a project's folder, or in a store."""
    known = {
        path.name.removesuffix(end)
        for end in (f"_{REFS}", TAR_SUFFIX)
        for path in folder.glob(f"*{end}")
    }
    if known:
        return guess(visit.project, visit.id, sorted(known), is_word=is_word)
    projects = [path.name for path in folder.glob("*") if path.is_dir()]
    near = difflib.get_close_matches(visit.id, projects, 1)
    return f"did you mean {near[0]}?" if near and near[0] != visit.id else _TAKEN


def _local(store: Path) -> str:
    return f"file://{quote(str(store))}"
