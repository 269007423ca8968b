"""Step ``fetch``: have the visit's tarball in the store directory.

A tarball that is there is used as it is. Else it is downloaded from the store URL, in
parts if need be (:mod:`icfqueue.remote.partial_download`), and appears under its name only
when it has the length that the store announced and, where the store publishes one, the MD5.

Where it is to be streamed (the option ``stream``), the store is only asked for it here, and
`index_tar` receives it.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from functools import partial

from icfqueue.core.errors import NetworkTrouble, NoRoom, TransientError
from icfqueue.core.options import Outcome
from icfqueue.core.plain_text import size as bytes_of
from icfqueue.core.settings import Settings
from icfqueue.core.visit import Visit
from icfqueue.outputs.completeness import Recorded, recorded, whole_deposit, without_tarball
from icfqueue.outputs.freshness import check_in_store
from icfqueue.remote import partial_download
from icfqueue.remote.client import RemoteStore, remote_of
from icfqueue.remote.download import Download, check_md5
from icfqueue.remote.partial_download import Part
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store
from icfqueue.store.disk import disk_trouble
from icfqueue.store.inventory import tarball_here

CHUNK = 1 << 20
"""Most bytes that are taken from the connection at once."""


def run(job: Job) -> Outcome:
    """Download the visit's tarball unless it is here, or nothing needs it any more.

    Raises
    ------
    PermanentError
        The store refuses (AccessDenied), does not have it (NotInStore), or has another
        one than the outputs here were made from (TarballChanged).
    TransientError
        Network, store or disk trouble, or no room for it (NoRoom). What was received is
        kept for the next try, except when the disk is in trouble or the bytes are wrong.
    Withdrawn
        The visit is no longer this worker's.
    """
    with disk_trouble("fetching the tarball"):
        size = tarball_here(job.store, job.visit)
        if size is not None:
            return Outcome(worked=False, tar_bytes=size)
        remote = remote_of(job.options, job.settings)
        if without_tarball(job.store, job.visit, job.options):
            return _still_the_same(job, remote)
        if job.options.stream:
            return _ask(job, remote)
        return _download(job, remote)


def _still_the_same(job: Job, remote: RemoteStore) -> Outcome:
    """Compare the store's tarball with the recorded one, without a download."""
    found = whole_deposit(job.store, job.visit, job.options.store_url)
    if found is None:
        # Nobody but the holder of the visit's lease changes it: somebody by hand did.
        raise TransientError(
            f"the deposit of {job.visit} went while it was looked at",
            hint="nothing else may change it; the visit is tried again",
            cause="deposit",
        )
    deposit, source = found
    known = Recorded(source.size, source.md5)
    size = remote.head(job.visit.storepath).size
    check_in_store(job.visit, known, size, remote.md5sum(job.visit))
    return Outcome(
        worked=False,
        tar_bytes=source.size,
        tar_md5=source.md5,
        dicoms=source.dicoms,
        refs=dict(sorted(deposit.refs.items())),
        note="up to date; the tarball is not here",
    )


def _ask(job: Job, remote: RemoteStore) -> Outcome:
    """Ask for a tarball that `index_tar` is to read as it comes, and compare it."""
    store, visit = job.store, job.visit
    known = None if job.options.force else recorded(store, visit)
    size = remote.head(visit.storepath).size
    check_in_store(visit, known, size, remote.md5sum(visit))
    if store.exists(store.work_dir(visit)):
        # Of a download that was begun before: nothing goes on with it.
        with store.work_folder(visit) as work:
            partial_download.sweep(work)
    return Outcome(worked=True, tar_bytes=size, note="streamed", streamed=True)


def _download(job: Job, remote: RemoteStore) -> Outcome:
    """Receive the tarball and publish it."""
    visit, guard = job.visit, job.guard
    published = remote.md5sum(visit)
    known = None if job.options.force else recorded(job.store, job.visit)
    free = partial(free_room, job.store, job.settings)
    with ExitStack() as stack:
        work = stack.enter_context(job.store.work_folder(visit))
        kept = partial_download.take_over(
            work, guard.advance, lambda size: guard.promise_room(size, free).granted
        )
        hasher = _Hasher(published)
        start, file = 0, None
        if kept is not None:
            stack.enter_context(kept)
            start, file = kept.have, kept.note.file
            # Before the connection is open: the store would not wait for ever.
            kept.feed(hasher.update, guard.advance)
        download = stack.enter_context(
            remote.open(visit.storepath, start=start, known=file)
        )
        check_in_store(visit, known, download.file.size, published)
        if kept is not None and download.start == 0:
            kept.restart(download.file)
            hasher = _Hasher(published)
        size = download.file.size or 0
        room = guard.promise_room(size - download.start, free)
        if not room.granted:
            start = download.start
            raise no_room(
                job.store, job.settings, visit, size=size, here=start, others=room.others
            )
        if kept is None:
            kept = stack.enter_context(Part(work, partial_download.Note(download.file)))
        _receive(job, download, kept, hasher)
        job.store.publish(kept.finish(), job.store.path(visit, visit.tarball), guard)
        partial_download.sweep(work)
    return Outcome(worked=True, tar_bytes=download.file.size, tar_md5=published)


def _receive(job: Job, download: Download, kept: Part, hasher: _Hasher) -> None:
    """Append the download to the part, and check the MD5 of the whole."""
    while piece := download.read(CHUNK):
        kept.write(piece)
        hasher.update(piece)
        job.guard.advance(bytes=len(piece))
    try:
        hasher.check(f"{job.options.store_url}/{job.visit.storepath}")
    except NetworkTrouble:
        kept.discard()
        raise


class _Hasher:
    """MD5 of what passes, if there is one to compare it with; else it costs nothing."""

    def __init__(self, published: str | None) -> None:
        self.published = published
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        if self.published is not None:
            self._md5.update(piece)

    def check(self, url: str) -> None:
        check_md5(url, self._md5.hexdigest(), self.published)


def free_room(store: Store, settings: Settings) -> int:
    """Return the bytes that downloads may fill; below 0 if more are to stay free."""
    return store.room() - settings.keep_free


def no_room(
    store: Store, settings: Settings, visit: Visit, *, size: int, here: int, others: int
) -> NoRoom:
    """Return the error of a tarball that does not fit.

    Parameters
    ----------
    size, here
        Bytes of it, and how many of them are here already.
    others
        Bytes that are promised to other downloads.
    """
    promised = f" and {bytes_of(others)} are promised to other downloads" if others else ""
    return NoRoom(
        f"no room for {visit.tarball}: {bytes_of(size - here)} to come, "
        f"{bytes_of(store.room())} free, of which {bytes_of(settings.keep_free)} are to "
        f"stay so{promised}",
        hint=f"it goes on by itself when there is room: make some in {store.root}, or "
        "lower 'keep_free'",
        size=size,
    )


def check_fits(store: Store, settings: Settings, visit: Visit, size: int) -> None:
    """Raise if a tarball of a known size cannot fit; asks neither store nor broker.

    Raises
    ------
    NoRoom
        It cannot.
    """
    here = min(size, partial_download.kept(store.work_dir(visit)))
    if size - here > free_room(store, settings):
        raise no_room(store, settings, visit, size=size, here=here, others=0)
