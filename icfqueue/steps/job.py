"""A job: one visit to be processed, and the surroundings in which a step runs."""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.options import Options
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.outputs.freshness import KnownTarball
from icfqueue.store.directory import Store


@dataclass(frozen=True, slots=True)
class Job:
    """A visit, what was asked for, and the surroundings in which a step runs.

    Attributes
    ----------
    keys
        A git-annex that a worker keeps running from one visit to the next, if it does.
    dicoms
        Number of DICOM files, if an earlier step of this run told it.
    known
        The tarball as the visit's record knows it.
    """

    visit: Visit
    options: Options
    store: Store
    settings: Settings
    guard: Guard = UNGUARDED
    keys: KeySource | None = None
    dicoms: int | None = None
    known: KnownTarball | None = None
