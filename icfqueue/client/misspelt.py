"""What was meant by the name of a visit that has no dataset."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from icfqueue.core.errors import AccessDenied, StepError, Unreachable
from icfqueue.remote.client import RemoteStore


def hint_of(remote: RemoteStore, project: str, visit: str | None) -> str:
    """Return a guess at what was meant, or what a store on the web has."""
    again = "look at the names: `icfqueue clone PROJECT VISIT`, or `icfqueue clone PROJECT`"
    if visit is None:
        return again
    try:
        known = [found.id for found in remote.visits(project)]
    except (StepError, Unreachable, AccessDenied):
        return again + _folder(visit)
    return guess(project, visit, known)


def guess(project: str, visit: str, known: Collection[str], *, is_word: bool = True) -> str:
    """Return what to say of a visit without a dataset.

    Parameters
    ----------
    known
        Visits of the project, with a dataset or a tarball alone.
    is_word
        It stood by itself, and so may have been meant for a folder.
    """
    near = difflib.get_close_matches(visit, known, 1)
    if near and near[0] != visit:
        return f"did you mean {near[0]}?"
    if visit in known:
        return "its tarball is there, but its dataset was not made yet"
    said = f"the store lists {len(known)} visits of {project}, none called so"
    return said + _folder(visit) if is_word else said


def _folder(visit: str) -> str:
    return f"; if {visit} is to be the folder, write ./{visit}"
