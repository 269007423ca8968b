"""Step ``cleanup``: remove what is not needed any more, and only that.

The work folder always goes. The tarball and the metadata files go on request, when the
deposit stands for them; the tarball only when the store on the web is known to hold the
same bytes.
"""

from __future__ import annotations

from icfqueue.core.errors import NotInStore, PermanentError
from icfqueue.outputs.completeness import whole_deposit
from icfqueue.outputs.deposit import Source
from icfqueue.remote.client import remote_of
from icfqueue.steps.fetch import tarball_here
from icfqueue.steps.job import Job, Outcome
from icfqueue.store.directory import disk_trouble


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
    store, visit, watch, options = job.store, job.visit, job.watch, job.options
    removed = []
    with disk_trouble("cleaning up"):
        store.forget_work(visit, watch)
        if options.remove_tarball and tarball_here(job) is not None:
            _check_tarball(job, _deposited(job, visit.tarball))
            store.withdraw(visit, store.path(visit, visit.tarball), watch)
            removed.append("tarball")
        # The tarball's file first: a deposit that stands alone has neither.
        names = (visit.metadata_tarball, visit.metadata_dicoms)
        paths = [store.path(visit, name) for name in names]
        if options.remove_metadata and any(path.exists() for path in paths):
            _deposited(job, "the metadata")
            for path in paths:
                store.withdraw(visit, path, watch)
            removed.append("metadata")
    note = f"removed: {', '.join(removed)}" if removed else ""
    return Outcome(worked=bool(removed), note=note)


def _deposited(job: Job, what: str) -> Source:
    """Return what the visit's deposit was made from, if it is whole and right."""
    found = whole_deposit(job)
    if found is None:
        raise PermanentError(
            f"{what} of {job.visit} was kept: there is no deposit that was made from it",
            hint="run the visit again; `icfqueue verify` says what differs",
        )
    return found[1]


def _check_tarball(job: Job, source: Source) -> None:
    """Raise unless deposit, tarball here and tarball in the store are of the same bytes."""
    kept = f"{job.visit.tarball} was kept: "
    _check_here(job, source, kept)
    remote = remote_of(job)
    try:
        there = remote.head(job.visit.storepath).size
    except NotInStore as error:
        raise NotInStore(
            f"{kept}{error.message}",
            hint="the dataset points there: have the tarball put into the store",
        ) from None
    if there != source.size:
        raise PermanentError(
            f"{kept}it has {source.size} bytes, the store's has "
            f"{'an unknown number' if there is None else there}",
            hint="the dataset could not be got from the store; find out which one is right",
        )
    published = remote.md5sum(job.visit)
    if published is not None and published != source.md5:
        raise PermanentError(
            f"{kept}its MD5 is {source.md5}, the store publishes {published}",
            hint="find out which one is right, and whether the md5sum file is up to date",
        )


def _check_here(job: Job, source: Source, kept: str) -> None:
    """Raise unless the tarball here is the one that the deposit was made from.

    It was read when it was indexed. Only if it was touched after that it is read again:
    ``ctime`` cannot be set back.
    """
    from icfqueue.steps.index_tar import md5_of

    visit, store = job.visit, job.store
    tarball = store.path(visit, visit.tarball)
    about = tarball.stat()
    found, wanted = f"{about.st_size} bytes", f"one of {source.size}"
    if about.st_size == source.size:
        proofs = (store.path(visit, name) for name in (visit.metadata_tarball, visit.refs))
        seen = max(path.stat().st_mtime_ns for path in proofs if path.exists())
        if about.st_ctime_ns < seen:
            return
        md5 = md5_of(tarball, job.watch)
        if md5 == source.md5:
            return
        found, wanted = f"the MD5 {md5}", f"one with {source.md5}"
    raise PermanentError(
        f"{kept}it has {found}, the deposit was made from {wanted}",
        hint="run the visit with --force to make its dataset anew",
    )
