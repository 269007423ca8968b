"""Records made anew from what lies in the store, when the broker's data are lost.

Only what is whole and valid becomes a record: a visit that is complete is `done` again;
for all others there is no record, and ``icfqueue enqueue`` goes on with them. Its steps
look before they work, so what was half done costs little.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from icfqueue.core.errors import StepError, UsageError
from icfqueue.core.options import Options, Outcome
from icfqueue.core.settings import Settings
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Ledger
from icfqueue.outputs import completeness, metadata_files
from icfqueue.steps import index_tar
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.store.inventory import present


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The visits of a project, by what became of them.

    Attributes
    ----------
    known
        Had a record already.
    restored
        Complete; have a record again.
    left
        Not complete, and why; ``enqueue`` goes on with them.
    """

    known: list[Visit]
    restored: list[Visit]
    left: dict[Visit, str]


def reconcile(settings: Settings, store: Store, ledger: Ledger, project: str) -> Reconciled:
    """Make a record for every complete visit of `project` that has none.

    Raises
    ------
    UsageError
        The store directory has no such project.
    """
    if not store.is_folder(store.project_dir(project)):
        raise UsageError(
            f"{store.project_dir(project)} is not there",
            hint="is the project's name right, and the store mounted?",
        )
    visits = present(store, project)
    known, restored, left = [], [], {}
    for visit, entry in zip(visits, ledger.get_many(visits), strict=True):
        if entry is not None:
            known.append(visit)
            continue
        found = _record(settings, store, visit)
        if isinstance(found, str):
            left[visit] = found
        elif ledger.put_many([(None, found)])[0]:
            restored.append(visit)
        else:
            known.append(visit)
    return Reconciled(known, restored, left)


def _record(settings: Settings, store: Store, visit: Visit) -> record.Record | str:
    """Return the record of a visit that is complete, or what it lacks."""
    from icfqueue.catalog import study

    options = Options(store_url=settings.store_url)
    job = Job(visit, options, store, settings)
    try:
        whole = completeness.whole_deposit(store, visit, settings.store_url)
        if whole is None:
            return "no whole dataset for this store URL"
        deposit, source = whole
        if store.exists(store.work_dir(visit)):
            return "its work folder is still to be removed"
        if store.exists(store.path(visit, visit.tarball)):
            if metadata_files.read_tarball(store, visit) is None:
                return "no metadata"
            # Reads the tarball only if it may have changed since.
            index_tar.run(job)
        elif not completeness.without_tarball(store, visit, _removed(options)):
            return "metadata without their counterpart"
    except StepError as error:
        return error.message
    listed = study.has_page(store, visit, settings.store_url)
    when = _time(store, visit)
    made = record.new(visit, replace(options, catalog=listed), 0, when)
    made = replace(made, started_at=when)
    done = Outcome(
        worked=False,
        tar_bytes=source.size,
        tar_md5=source.md5,
        dicoms=source.dicoms,
        refs=deposit.refs,
    )
    for _ in NAMES:
        made = record.finished(made, done, when)
    return made


def _removed(options: Options) -> Options:
    return replace(options, remove_tarball=True, remove_metadata=True)


def _time(store: Store, visit: Visit) -> float:
    """Return when the deposit was completed: its refs file is the last to appear."""
    found = store.stat(store.path(visit, visit.refs))
    return found.st_ctime if found else time.time()
