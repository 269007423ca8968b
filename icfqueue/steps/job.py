"""A job: one visit to be processed, and the surroundings in which a step runs."""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.errors import NotSeen, StepError
from icfqueue.core.guard import UNGUARDED, Guard
from icfqueue.core.options import Identifiers, Options
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
    vouched
        Whether an earlier step is done, by the record: what it left must be there.
    md5
        Of the tarball (hex), as an earlier step of this run told it.
    identifiers
        What was found in the tarball before, and whether somebody accepted it.
    streamed
        Whether the tarball is read as it comes from the store, as `fetch` said.
    """

    visit: Visit
    options: Options
    store: Store
    settings: Settings
    guard: Guard = UNGUARDED
    keys: KeySource | None = None
    dicoms: int | None = None
    known: KnownTarball | None = None
    vouched: bool = False
    md5: str | None = None
    identifiers: Identifiers | None = None
    streamed: bool = False

    def unseen(self, error: StepError) -> StepError:
        """Return the error for something that is not there, or not the newest.

        On a network file system it may only not be seen yet, where an earlier step, done
        on another machine, vouches for it.

        Parameters
        ----------
        error
            What it is if nobody vouches for it.
        """
        if not self.vouched:
            return error
        return NotSeen(f"{error.message}, though an earlier step left it there")

    def is_stale(self, md5: str) -> bool:
        """Return whether metadata of a tarball with `md5` are those of an earlier one."""
        return self.vouched and self.md5 is not None and md5 != self.md5

    def look_again(self) -> None:
        """Have the system look at the visit's folders itself, not remember them."""
        self.store.look_again(self.store.project_dir(self.visit.project))
        self.store.look_again(self.store.work_dir(self.visit))
