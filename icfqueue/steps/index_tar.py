"""Step ``index_tar``: read a tarball once and note what is in it.

::

    tarball ──> TarStream ──> per member: path check, MD5, six tags ──> dicoms.json
                   ├──> where the content of each DICOM file begins ──> offsets.json
                   └──> MD5 of the whole (second thread) ─────────────> index.json

A tarball that is not here is read as it comes from the store, if `fetch` said so. The files
lie in the visit's work folder. ``dicoms.json`` already has the layout of the
published ``…_metadata_dicoms.json``. ``index.json`` appears last: where it is, all are
whole and belong to the tarball whose fingerprint it carries.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from icfqueue.core.causes import ACCEPT
from icfqueue.core.errors import (
    BadTarball,
    NotInStore,
    PermanentError,
    TarballChanged,
    TarballTouched,
)
from icfqueue.core.options import Identifiers, Outcome
from icfqueue.core.visit import Visit
from icfqueue.outputs import completeness, freshness, metadata_files, tarball_index
from icfqueue.outputs.completeness import Recorded, count_of_dicoms
from icfqueue.outputs.tarball_index import Index, Listing
from icfqueue.remote.client import RemoteStore, remote_of
from icfqueue.remote.download import check_md5
from icfqueue.remote.streaming.body import Body
from icfqueue.steps.job import Job
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.disk import disk_trouble
from icfqueue.store.fingerprint import Fingerprint
from icfqueue.store.settling import is_settled
from icfqueue.tarball.identifiers.watch import Watch
from icfqueue.tarball.remedies import DOWNLOAD, FOLDER, MEND
from icfqueue.tarball.scan import Counted, Tarball, index_stream

if TYPE_CHECKING:
    from typing import BinaryIO

    from icfqueue.tarball.stream import ByteStream

MOST_WAIT = 15.0
"""Seconds after which a tarball that may still be written is looked at again."""


def run(job: Job) -> Outcome:
    """Index the visit's tarball, unless that was done.

    Returns
    -------
    Outcome
        With size and MD5 of the tarball and the number of DICOM files.

    Raises
    ------
    BadTarball
        It cannot become a dataset.
    PermanentError
        It would tell who a person is, and the site holds such visits.
    TarballChanged
        It is not the one that the published metadata were made from.
    NotInStore
        It is not there.
    TransientError
        It changed meanwhile, or disk, network or store are in trouble.
    """
    with disk_trouble(f"indexing {job.visit.tarball}"), _readable(job.visit):
        tarball = job.store.path(job.visit, job.visit.tarball)
        now = job.store.fingerprint(tarball)
        if now is None and job.streamed:
            return _streamed(job)
        if now is None:
            raise job.unseen(
                NotInStore(
                    f"{job.visit.storepath} is not in the store directory",
                    hint="'icfqueue run PROJECT VISIT --force' obtains it",
                )
            )
        done = None if job.options.force else _published(job, tarball, now)
        if done:
            return done
        known = tarball_index.read(job.store, job.visit)
        if known and known.fingerprint == now and _is_of_use(job, known):
            _check_nobody(job, known.identifiers)
            return _outcome(job, known, worked=False)
        return _outcome(job, _index(job, tarball, now), worked=True)


@contextmanager
def _readable(visit: Visit) -> Iterator[None]:
    """Turn what the system says of a tarball that cannot be opened into a step's error."""
    try:
        yield
    except (PermissionError, IsADirectoryError) as error:
        if HIDDEN in Path(error.filename or "").parts:
            # The work folder's matter, not the tarball's.
            raise
        raise PermanentError(
            f"{visit.storepath} cannot be indexed: {error.strerror} ({error.filename})",
            hint="it must be a file that the workers may read, in a folder in which they "
            "may write",
            cause="permission",
        ) from error
    except FileNotFoundError as error:
        raise freshness.touched(visit) from error


def _is_of_use(job: Job, known: Index) -> bool:
    """Tell whether what an earlier attempt left need not be made anew."""
    looked = known.identifiers is not None or job.settings.identifiers == "off"
    return looked and _listed(job, known)


def _check_nobody(job: Job, found: Identifiers | None) -> None:
    """Raise if the site holds visits that tell who a person is, and this one does.

    What somebody has accepted is just what was found then: anything else is held again.
    """
    known = job.identifiers
    if job.settings.identifiers != "hold" or not found:
        return
    if known is not None and known.accepted_by and known == found:
        return
    tarball = shlex.quote(str(job.store.path(job.visit, job.visit.tarball)))
    # One that is read as it comes from the store is not here.
    command = "" if job.streamed else f", `tar -tf {tarball}`,"
    error = PermanentError(
        f"identifiers of a person {found.words()}",
        hint=f"look at its paths{command} and at the tags of its images; {ACCEPT}",
        cause="identifiers",
    )
    error.identifiers = found
    raise error


def _outcome(job: Job, index: Index, *, worked: bool) -> Outcome:
    tarball, found = index.tarball, index.identifiers
    if found is not None and job.identifiers == found:
        found = job.identifiers  # it also says who accepted it
    return Outcome(
        worked,
        tar_bytes=tarball.size,
        tar_md5=tarball.md5,
        dicoms=tarball.dicoms,
        fingerprint=index.fingerprint if index.settled else None,
        streamed=index.fingerprint is None,
        identifiers=found,
    )


def _published(job: Job, tarball: Path, now: Fingerprint) -> Outcome | None:
    """Return the outcome if metadata of this very tarball are published already."""
    store, visit = job.store, job.visit
    told = metadata_files.read_tarball(store, visit)
    if told is None or not store.exists(store.path(visit, visit.metadata_dicoms)):
        return None
    settled = _is_known(job, now) or _settled(job, tarball, now)
    recorded = Recorded(told.size, told.md5)
    change = freshness.change_here(store, visit, now, recorded, job.guard, known=job.known)
    if change is not None:
        raise _changed(visit, change)
    dicoms = count_of_dicoms(store, visit, job.options.store_url)
    known = Tarball(told.size, told.md5, dicoms, 0)
    return _outcome(job, Index(known, now, settled, Listing(0, "")), worked=False)


def _is_known(job: Job, now: Fingerprint) -> bool:
    return job.known is not None and job.known.fingerprint == now


def _settled(job: Job, tarball: Path, now: Fingerprint) -> bool:
    """Return whether a change of the tarball from now on is sure to show."""
    with job.store.scratch(job.visit, job.guard) as scratch:
        probe = os.open(scratch / "probe", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            with job.store.open_read(tarball) as source:
                same = Fingerprint.of(os.fstat(source.fileno())) == now
                return same and is_settled(source.fileno(), probe)
        finally:
            os.close(probe)


def _check_at_rest(
    job: Job, tarball: Path, before: Fingerprint, probe: int, error: BadTarball
) -> None:
    """Raise if a tarball that cannot be indexed may not have been copied to its end yet.

    Parameters
    ----------
    probe
        Descriptor of a file of this worker's: the file system's clock stamps it.
    error
        What is wrong with the tarball as it is.
    """
    received = job.md5 is not None and job.known is None
    if received or not error.may_grow:
        # Whole, for this run's `fetch` compared it with the published MD5; or no matter.
        return
    if job.store.fingerprint(tarball) != before:
        what = f"{error.message}; it changed while it was read"
        raise _being_written(job, what) from error
    os.utime(probe)
    age = (os.fstat(probe).st_ctime_ns - before.ctime_ns) / 1e9
    if age < job.settings.settle:
        what = f"{error.message}; it was changed within the last {job.settings.settle:g} s"
        raise _being_written(job, what) from error


def _being_written(job: Job, what: str) -> TarballTouched:
    """Return the error for a tarball that somebody may still be writing.

    The attempt does not count: a copy takes as long as it takes.
    """
    return TarballTouched(
        what,
        hint="if it is being copied, the visit goes on when that is done; copy under "
        "another name and rename to save the tries",
        retry_after=min(MOST_WAIT, job.settings.settle) or None,
    )


def _changed(visit: Visit, change: freshness.Change) -> TarballChanged:
    found, recorded = change.words()
    return TarballChanged(
        f"{visit.storepath} is not the tarball that the metadata of visit {visit} were "
        f"made from: recorded {recorded}, found {found}",
    )


def _listed(job: Job, known: Index) -> bool:
    """Tell whether the list that `known` speaks of is there, published or not yet."""
    store, visit = job.store, job.visit
    paths = (
        tarball_index.dicoms_path(store, visit),
        store.path(visit, visit.metadata_dicoms),
    )
    return any(Listing.of(store, path) == known.listing for path in paths)


class _Read(NamedTuple):
    """What was read of a tarball: the tarball, the list of DICOM files, their places."""

    tarball: Tarball
    listing: Listing
    places: list[int]
    identifiers: Identifiers | None


def _watch(job: Job) -> Watch | None:
    """Return what looks for identifiers, if the site wants that."""
    chosen = job.settings
    if chosen.identifiers == "off":
        return None
    return Watch(job.visit, chosen.identifier_patterns)


def _index(job: Job, tarball: Path, before: Fingerprint) -> Index:
    """Read the tarball and leave the files in the work folder."""
    store, visit = job.store, job.visit
    with _scratch(job) as scratch:
        listing = scratch / tarball_index.DICOMS
        with store.open_read(tarball) as source, listing.open("wb") as out:
            with suppress(OSError, AttributeError):
                os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            settled = is_settled(source.fileno(), out.fileno())
            try:
                read = _read(job, source, out)
            except BadTarball as error:
                _check_at_rest(job, tarball, before, out.fileno(), error)
                raise
        if store.fingerprint(tarball) != before:
            raise _being_written(job, f"{visit.storepath} changed while it was read")
        offsets = Listing.of_bytes(_text(read.places))
        found = read.identifiers
        index = Index(
            read.tarball, before, settled, read.listing, offsets, identifiers=found
        )
        return _leave(job, scratch, index, read.places)


def _streamed(job: Job) -> Outcome:
    """Return the outcome for a tarball that is read as it comes from the store."""
    store, visit = job.store, job.visit
    remote = remote_of(job.options, job.settings)
    published = remote.md5sum(visit)
    known = tarball_index.read(store, visit)
    # A worker may have died behind this step.
    if known and known.validator and _is_of_use(job, known):
        there = remote.head(visit.storepath)
        recorded = Recorded(known.tarball.size, known.tarball.md5)
        same = there.validator == known.validator
        if same and freshness.change_in_store(there.size, published, recorded) is None:
            _check_nobody(job, known.identifiers)
            return _outcome(job, known, worked=False)
    try:
        return _outcome(job, _stream(job, remote, published), worked=True)
    except BadTarball as error:
        if FOLDER in error.hint or MEND in error.hint:
            # What helps is done to a file, and there is none.
            error.hint = DOWNLOAD
        raise


def _stream(job: Job, remote: RemoteStore, published: str | None) -> Index:
    """Read the tarball as it comes, and leave the files in the work folder."""
    visit = job.visit
    recorded = None if job.options.force else completeness.recorded(job.store, visit)

    def check_whole(md5: str) -> None:
        check_md5(f"{remote.url}/{visit.storepath}", md5, published)
        freshness.check_in_store(visit, recorded, None, md5)

    with _scratch(job) as scratch:
        with (
            Body(remote, visit.storepath, job.guard.advance) as body,
            (scratch / tarball_index.DICOMS).open("wb") as out,
        ):
            freshness.check_in_store(visit, recorded, body.file.size, published)
            # Else nothing is to be compared, for which a bad one were read to its end.
            wanted = published is not None or recorded is not None
            read = _read(job, body, out, check_whole if wanted else None)
        offsets = Listing.of_bytes(_text(read.places))
        # A date alone, or a weak tag, tells two tarballs of a second not from each other.
        strong = body.file.etag if body.file.validator == body.file.etag else None
        found = read.identifiers
        index = Index(read.tarball, None, False, read.listing, offsets, strong, found)
        return _leave(job, scratch, index, read.places)


@contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    """Yield a folder for what is being made; the note of an earlier index is gone."""
    with job.store.scratch(job.visit, job.guard) as scratch:
        # Without the note, what lies there counts for nothing.
        note = tarball_index.index_path(job.store, job.visit)
        job.store.withdraw(job.visit, note, job.guard)
        yield scratch


def _read(
    job: Job,
    source: ByteStream,
    out: BinaryIO,
    whole: Callable[[str], None] | None = None,
) -> _Read:
    """Read a tarball once, and write the list of its DICOM files."""
    counted, places, watch = Counted(out), list[int](), _watch(job)
    found = index_stream(
        source,
        counted,
        job.guard,
        name=job.visit.tarball,
        dspath=job.visit.dspath,
        places=places,
        whole=whole,
        watch=watch,
    )
    listing = Listing(counted.size, counted.md5.hexdigest())
    return _Read(found, listing, places, watch.found if watch else None)


def _text(places: list[int]) -> bytes:
    return json.dumps(places, separators=(",", ":")).encode()


def _leave(job: Job, scratch: Path, index: Index, places: list[int]) -> Index:
    """Publish what was made in the work folder, the note last, unless it is held."""
    store, visit = job.store, job.visit
    _check_nobody(job, index.identifiers)
    offsets, note = scratch / tarball_index.OFFSETS, scratch / tarball_index.INDEX
    offsets.write_bytes(_text(places))
    note.write_text(tarball_index.dump(index) + "\n")
    store.publish_all(
        [
            (scratch / tarball_index.DICOMS, tarball_index.dicoms_path(store, visit)),
            (offsets, tarball_index.offsets_path(store, visit)),
            (note, tarball_index.index_path(store, visit)),
        ],
        job.guard,
    )
    return index
