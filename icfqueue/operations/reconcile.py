"""Records mended: made anew from what lies in the store, compared with it, removed.

Only what is whole and valid becomes a record: a visit that is complete is `done` again;
for all others there is no record, and ``icfqueue enqueue`` goes on with them. Its steps
look before they work, so what was half done costs little. A record that is older than
the outputs, as after a backup of the broker, is told of and left: its visit's steps find
what they would make.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from icfqueue.core.errors import StepError
from icfqueue.core.options import Options, Outcome
from icfqueue.core.settings import Settings
from icfqueue.core.steps import NAMES
from icfqueue.core.visit import Visit
from icfqueue.ledger import record
from icfqueue.ledger.ledger import Entry, Ledger, Unreadable
from icfqueue.ledger.record import Record, State
from icfqueue.outputs import completeness, deposit, metadata_files
from icfqueue.steps import index_tar
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.store.inventory import present
from icfqueue.store.near_misses import check_folder, near_names


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of the visits of a project.

    Attributes
    ----------
    known
        Had a record already.
    restored
        Complete; have a record again.
    left
        Not complete, or with a record that must be forgotten first, and why; ``enqueue``
        goes on with them.
    differing
        Known, and what their records say otherwise than the store.
    """

    known: list[Visit] = field(default_factory=list)
    restored: list[Visit] = field(default_factory=list)
    left: dict[Visit, str] = field(default_factory=dict)
    differing: dict[Visit, str] = field(default_factory=dict)


def reconcile(settings: Settings, store: Store, ledger: Ledger, project: str) -> Reconciled:
    """Make a record for every complete visit of `project` that has none.

    A record that cannot be read is replaced, unless a newer icfqueue wrote it or a
    worker holds its visit.

    Raises
    ------
    UsageError
        The store directory has no such project.
    """
    check_folder(store, project)
    mending = _Mending(settings, store, ledger)
    done = mending.done
    visits = sorted({*present(store, project), *ledger.visits(project)})
    # Whatever stands in no index, or in a wrong one, does so no more.
    ledger.mend(visits, met=False)
    for visit, entry in zip(visits, ledger.get_many(visits), strict=True):
        if isinstance(entry, Entry):
            done.known.append(visit)
            if words := _difference(settings, store, entry.record):
                done.differing[visit] = words
        else:
            mending.restore(visit, entry)
    return done


@dataclass(frozen=True, slots=True)
class _Mending:
    """Makes records anew."""

    settings: Settings
    store: Store
    ledger: Ledger
    done: Reconciled = field(default_factory=Reconciled)

    def restore(self, visit: Visit, entry: Unreadable | None) -> None:
        """Make the record of a visit anew that has none, or one that cannot be read."""
        done = self.done
        if entry and entry.hint:
            done.left[visit] = f"its record cannot be read: {entry.why} ({entry.hint})"
            return
        found = _record(self.settings, self.store, visit)
        if isinstance(found, str):
            forget = f"'icfqueue forget {visit.project} {visit.id}'"
            why = f"its record cannot be read: {entry.why} ({forget}); " if entry else ""
            done.left[visit] = why + found
        elif not self.ledger.forget(visit, entry):
            done.left[visit] = "a worker holds it, or its record has changed: try again"
        else:
            written = self.ledger.put_many([(None, found)])[0]
            (done.restored if written else done.known).append(visit)


def _difference(settings: Settings, store: Store, found: Record) -> str:
    """Return what the store has otherwise than a record says; nothing is read twice."""
    try:
        here = deposit.read(store, found.visit)
        if found.state == State.DONE:
            if here is None:
                return "its record says done, but its dataset is missing or not whole"
            if found.refs and here.refs != found.refs:
                return "its dataset has other commits than its record says"
            return ""
        if here is None or isinstance(_record(settings, store, found.visit), str):
            return ""
    except StepError as error:
        return f"its dataset cannot be read: {error.message}"
    return f"its record says {found.state} at {found.step}, but it is complete"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of the visits that were to be forgotten.

    Attributes
    ----------
    gone
        Have no record and no work folder any more.
    left
        Why others were left alone.
    """

    gone: list[Visit]
    left: dict[Visit, str]


def forget(
    store: Store, ledger: Ledger, visits: Sequence[Visit], *, force: bool = False
) -> Forgotten:
    """Remove records and work folders; outputs and tarballs stay.

    Parameters
    ----------
    force
        Also of visits that are being worked on: what their workers do is lost.
    """
    done = Forgotten([], {})
    counted_anew = set()
    for visit, entry in zip(visits, ledger.get_many(visits), strict=True):
        running = isinstance(entry, Entry) and entry.record.state == State.RUNNING
        if running and not force:
            done.left[visit] = "it is being worked on: --force takes it away"
        elif entry is None and not store.work_dir(visit).exists():
            near = near_names(visit.id, (v.id for v in ledger.visits(visit.project)))
            guess = f"; did you mean {' or '.join(near)}?" if near else ""
            done.left[visit] = f"it was never enqueued{guess}"
            ledger.forget(visit, None)
        elif not ledger.forget(visit, entry, force=force):
            done.left[visit] = "it has changed, or a worker holds it: try again, or --force"
        else:
            if isinstance(entry, Unreadable):
                counted_anew.add(visit.project)
            store.forget_work(visit)
            done.gone.append(visit)
    if done.gone:
        # A message may name what shall not be shown any more.
        ledger.events.forget(done.gone)
    for project in counted_anew:
        ledger.recount(project)
    return done


def _record(settings: Settings, store: Store, visit: Visit) -> Record | str:
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
