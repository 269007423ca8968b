"""Datasets in a store directory of this machine, to be cloned without the web."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from icfqueue.client.clones import Wanted
from icfqueue.core.errors import UsageError
from icfqueue.core.visit import Visit, check_id
from icfqueue.outputs.deposit import REFS, clone_url


def wanted_path(path: Path) -> Wanted:
    """Return what to clone for a project's folder in a store directory, or a visit in it.

    Raises
    ------
    BadId
        It is not called as a project or a visit.
    UsageError
        There is no deposit.
    """
    # Without "..", and with links as they are: names are taken of it.
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - pathlib keeps ".."
    if (whole / REFS).is_file():
        store, subject = whole.parent, check_id(whole.name, "project")
        return Wanted(clone_url(_local(store), subject), whole.name)
    store = whole.parent.parent
    if not whole.is_dir():
        visit = Visit(whole.parent.name, whole.name)
        if (whole.parent / visit.refs).is_file():
            return Wanted(clone_url(_local(store), visit), visit.id)
    raise UsageError(
        f"there is no dataset at {path}",
        hint="STORE/PROJECT or STORE/PROJECT/VISIT, of a project that is done; see "
        "'icfqueue status'",
    )


def _local(store: Path) -> str:
    return f"file://{quote(str(store))}"
