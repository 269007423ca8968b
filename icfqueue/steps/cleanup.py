"""Step ``cleanup``: remove what is not needed any more, and only that.

The work folder always goes. The tarball and the metadata files go on request, when the
deposit stands for them; the tarball only when the store on the web is known to hold the
same bytes.
"""

from __future__ import annotations

from icfqueue.core.errors import NotInStore, PermanentError
from icfqueue.core.options import Outcome
from icfqueue.outputs.completeness import Recorded, whole_deposit
from icfqueue.outputs.deposit import Source
from icfqueue.outputs.freshness import change_here, change_in_store
from icfqueue.remote.client import remote_of
from icfqueue.steps.job import Job
from icfqueue.store.disk import disk_trouble
from icfqueue.store.fingerprint import Fingerprint
from icfqueue.store.inventory import tarball_here


def run(job: Job) -> Outcome:
    """Remove the visit's work folder and, if asked, its tarball and metadata files.

    Raises
    ------
    PermanentError
        Something was asked to be removed that is still needed; it was kept, and the
        visit's other outputs are right.
    TransientError
        The store on the web could not be asked.
    Withdrawn
        The visit is no longer this worker's.
    """
    store, visit, guard, options = job.store, job.visit, job.guard, job.options
    removed = []
    with disk_trouble("cleaning up"):
        store.forget_work(visit, guard)
        if options.remove_tarball and tarball_here(store, visit) is not None:
            here = _check_tarball(job, _deposited(job, visit.tarball))
            store.withdraw(visit, store.path(visit, visit.tarball), guard, here)
            removed.append("tarball")
        # The tarball's file first: a deposit that stands alone has neither.
        names = (visit.metadata_tarball, visit.metadata_dicoms)
        paths = [store.path(visit, name) for name in names]
        if options.remove_metadata and any(store.exists(path) for path in paths):
            _deposited(job, "the metadata")
            for path in paths:
                store.withdraw(visit, path, guard)
            removed.append("metadata")
    note = f"removed: {', '.join(removed)}" if removed else ""
    return Outcome(worked=bool(removed), note=note)


def _deposited(job: Job, what: str) -> Source:
    """Return what the visit's deposit was made from, if it is whole and right."""
    found = whole_deposit(job.store, job.visit, job.options.store_url)
    if found is None:
        raise job.unseen(
            PermanentError(
                f"{what} of {job.visit} was kept: there is no deposit that was made "
                "from it",
                hint="'icfqueue verify PROJECT VISIT' says what differs, 'icfqueue run "
                "PROJECT VISIT --force' makes it anew",
                cause="deposit",
            )
        )
    return found[1]


def _check_tarball(job: Job, source: Source) -> Fingerprint | None:
    """Return what the tarball here is known by, if it may be removed.

    Raises
    ------
    PermanentError
        Deposit, tarball here and tarball in the store are not of the same bytes.
    """
    kept = f"{job.visit.tarball} was kept: "
    recorded = Recorded(source.size, source.md5)
    here = _check_here(job, recorded, kept)
    remote = remote_of(job.options, job.settings)
    try:
        there = remote.head(job.visit.storepath).size
    except NotInStore as error:
        raise NotInStore(
            f"{kept}{error.message}",
            hint="the dataset points there: have the tarball put into the store",
        ) from None
    if there is None:
        raise PermanentError(
            f"{kept}it has {source.size} bytes, the store's has an unknown number",
            hint="the dataset could not be got from the store; find out which one is right",
            cause="kept",
        )
    published = remote.md5sum(job.visit) if there == source.size else None
    change = change_in_store(there, published, recorded)
    if change is None:
        return here
    if change.what == "size":
        raise PermanentError(
            f"{kept}it has {change.recorded} bytes, the store's has {change.found}",
            hint="the dataset could not be got from the store; find out which one is right",
            cause="kept",
        )
    raise PermanentError(
        f"{kept}its MD5 is {change.recorded}, the store publishes {change.found}",
        hint="find out which one is right, and whether the md5sum file is up to date",
        cause="kept",
    )


def _check_here(job: Job, recorded: Recorded, kept: str) -> Fingerprint | None:
    """Return the tarball's fingerprint if the deposit was made from it; else raise."""
    tarball = job.store.fingerprint(job.store.path(job.visit, job.visit.tarball))
    if tarball is None:
        return None
    store, visit = job.store, job.visit
    change = change_here(store, visit, tarball, recorded, job.guard, known=job.known)
    if change is None:
        return tarball
    if change.what == "size":
        found, wanted = f"{change.found} bytes", f"one of {change.recorded}"
    else:
        found, wanted = f"the MD5 {change.found}", f"one with {change.recorded}"
    raise PermanentError(
        f"{kept}it has {found}, the deposit was made from {wanted}",
        hint="'icfqueue run PROJECT VISIT --force' makes its dataset anew",
        cause="kept",
    )
