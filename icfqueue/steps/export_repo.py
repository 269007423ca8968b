"""Step ``export_repo``: the two metadata files become a DataLad dataset in the store.

It looks whether the deposit is there already (:mod:`icfqueue.outputs.deposit`), has
git-annex name the keys (:mod:`icfqueue.dataset.programs`), writes both branches into a bare
repository (:mod:`icfqueue.dataset.branches`), has git check it, and publishes it.

Nothing in a dataset depends on the host, the clock or the run: ids are made from the
store's address and the visit's name, dates are the tarball's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import md5
from itertools import islice
from pathlib import Path

from icfqueue.core.errors import BadTarball, PermanentError, TarballChanged
from icfqueue.core.visit import Visit
from icfqueue.dataset import branches, programs
from icfqueue.dataset.branches import Contents, Dicom, Fields
from icfqueue.dataset.programs import AnnexKey, KeySource, WantedKey
from icfqueue.outputs import deposit, tarball_index
from icfqueue.outputs.completeness import whole_deposit
from icfqueue.outputs.deposit import Deposit, Source
from icfqueue.steps import index_tar, write_json
from icfqueue.steps.job import Job, Outcome
from icfqueue.steps.write_json import DicomRecord, TarballMeta
from icfqueue.store.directory import Fingerprint, disk_trouble

MAX_NAME = 255
"""Longest name of a file in bytes, on every usual file system."""


def run(job: Job, keys: KeySource | None = None) -> Outcome:
    """Build and deposit the dataset of a visit from its two metadata files.

    Parameters
    ----------
    job
        The visit and how to process it.
    keys
        A running git-annex to use again, by default the job's; without either, one is
        started and ended.

    Raises
    ------
    PermanentError
        The metadata are missing or cannot become a dataset (`BadTarball`), the tarball's
        time is not known any more, or another tool's deposit is in the way.
    TransientError
        Disk or program trouble.
    Withdrawn
        The visit is no longer this worker's; the deposit is whole or has no refs file.
    """
    with disk_trouble("depositing the dataset"):
        done = None if job.options.force else whole_deposit(job)
        if done is not None:
            found, source = done
            return _outcome(source, found.refs, worked=False)
        old = deposit.read(job.store, job.visit)
        if old and old.source is None and not job.options.force:
            raise PermanentError(
                f"{job.visit.refs} and {job.visit.repo_export} were made by another tool",
                hint="keep them and leave the visit out, or replace them with --force",
            )
        source, records = _recorded(job, old)
        with job.store.scratch(job.visit, job.watch) as scratch:
            repo = programs.make_bare(scratch / "repo")
            _build(job, source, records, repo, keys or job.keys)
            refs = deposit.pack_refs(repo)
            export = scratch / "export"
            deposit.write_export(repo, export, source)
            job.watch.advance()
            changed = deposit.publish(job.store, job.visit, export, refs, job.watch)
    return _outcome(source, refs, worked=changed)


def dataset_id(store_url: str, visit: Visit) -> uuid.UUID:
    """Return the DataLad id of the visit's dataset: the same for ever and everywhere."""
    return _uuid(store_url, visit)


def remote_uuid(store_url: str, visit: Visit, remote: str) -> uuid.UUID:
    """Return the git-annex UUID of the special remote called `remote`."""
    return _uuid(store_url, visit, f"#{remote}")


def _uuid(store_url: str, visit: Visit, role: str = "") -> uuid.UUID:
    name = f"{store_url.rstrip('/')}/{visit.project}/{visit.id}{role}"
    return uuid.uuid5(uuid.NAMESPACE_URL, name)


def _recorded(job: Job, old: Deposit | None) -> tuple[Source, list[DicomRecord]]:
    """Return what the dataset is to be made from, as the metadata files say."""
    tarball = write_json.read_tarball(job.store, job.visit)
    if tarball is None:
        raise PermanentError(
            f"no metadata of {job.visit} in the store directory",
            hint="run the visit again with --force: its first steps make them",
        )
    listing = job.store.path(job.visit, job.visit.metadata_dicoms)
    records = write_json.read_dicoms(job.store, job.visit)
    source = Source(
        url=f"{job.options.store_url.rstrip('/')}/{tarball.storepath}",
        md5=tarball.md5,
        size=tarball.size,
        newest=_newest(job, tarball, old),
        metadata=md5(listing.read_bytes(), usedforsecurity=False).hexdigest(),
        dicoms=len(records),
    )
    return source, records


def _outcome(source: Source, refs: dict[str, str], *, worked: bool) -> Outcome:
    return Outcome(
        worked=worked,
        tar_bytes=source.size,
        tar_md5=source.md5,
        dicoms=source.dicoms,
        refs=dict(sorted(refs.items())),
    )


def _newest(job: Job, tarball: TarballMeta, old: Deposit | None) -> int:
    """Return the time of the tarball's newest member, in seconds since 1970.

    From what `index_tar` left, else from the tarball, else from the deposit to replace.
    """
    known = tarball_index.read(job.store, job.visit)
    if known and known.tarball.md5 == tarball.md5:
        return known.tarball.newest
    here = Fingerprint.of(job.store.path(job.visit, job.visit.tarball))
    if here is not None:
        if here.size != tarball.size:
            raise TarballChanged(
                f"{job.visit.tarball} has {here.size} bytes, its metadata say "
                f"{tarball.size}",
                hint="--force makes everything anew from this tarball",
            )
        return index_tar.newest(job)
    if old and old.source and old.source.md5 == tarball.md5:
        return old.source.newest
    raise PermanentError(
        f"the dates in {job.visit.tarball} are not known any more: neither the tarball nor "
        "a deposit made of it is in the store directory",
        hint="run the visit again with --force: it fetches the tarball anew",
    )


def _build(
    job: Job,
    source: Source,
    records: list[DicomRecord],
    repo: Path,
    keys: KeySource | None,
) -> None:
    """Write both branches into the bare repository `repo` and have git check them.

    Empties `records`: they are the largest part of what a large visit needs of memory.
    """
    wanted = [
        WantedKey(source.size, source.md5, job.visit.dspath.encode()),
        *(WantedKey(r["size"], r["md5"], _bytes(r["path"])) for r in records),
    ]
    _check_paths([item.path for item in wanted])
    tags = [branches.fields(record) for record in records]
    records.clear()
    with nullcontext(keys) if keys else KeySource(repo) as source_of_keys:
        named = source_of_keys.keys(wanted, job.watch)
        contents = _contents(job, source, wanted, tags, named)
        programs.fast_import(repo, branches.stream(contents, job.watch), job.watch)
    programs.check_tree(repo, deposit.HEAD, job.watch)


def _contents(
    job: Job,
    source: Source,
    wanted: list[WantedKey],
    tags: list[Fields],
    named: Iterator[AnnexKey],
) -> Contents:
    """Return what the dataset holds; its DICOM files are named as it is written."""
    url, visit = job.options.store_url, job.visit
    tarball = next(named)
    made = zip(islice(wanted, 1, None), named, tags, strict=True)
    dicoms = (Dicom(item.path, key, item.size, fields) for item, key, fields in made)
    return Contents(
        title=f"{visit.project} {visit.id}",
        when=source.newest,
        dataset=dataset_id(url, visit),
        uncurl=remote_uuid(url, visit, branches.UNCURL),
        archivist=remote_uuid(url, visit, branches.ARCHIVIST),
        tarball=tarball,
        tarball_path=wanted[0].path,
        tarball_url=source.url.encode(),
        dicoms=branches.Named(len(tags), dicoms),
    )


def _bytes(path: str) -> bytes:
    try:
        return path.encode()
    except UnicodeEncodeError:
        raise _bad_member(path, "has a name that is not UTF-8") from None


def _check_paths(paths: list[bytes]) -> None:
    """Refuse what cannot lie in one git tree beside the dataset's own files.

    `index_tar` refuses more and says so earlier. This is the last look before git, which
    would let a folder silently replace a file.

    Raises
    ------
    BadTarball
        Names the first member that cannot be.
    """
    files = set(branches.OWN_FILES)
    folders = {path.rpartition(b"/")[0] for path in branches.OWN_FILES}
    for path in paths:
        parts = path.split(b"/")
        bad = any(part in {b"", b".", b".."} or len(part) > MAX_NAME for part in parts)
        if bad or b"\n" in path or b"\0" in path:
            raise _bad_member(path, "has a name that no dataset can hold")
        if path in files:
            raise _bad_member(
                path, "is there twice, or is called like a file of the dataset"
            )
        files.add(path)
        while path := path.rpartition(b"/")[0]:
            if path in folders:
                break
            folders.add(path)
    for path in sorted(files & folders):
        raise _bad_member(path, "is both a file and a folder")


def _bad_member(path: bytes | str, what: str) -> BadTarball:
    shown = path if isinstance(path, str) else path.decode("utf-8", "replace")
    return BadTarball(
        f"member {shown!r} {what}",
        hint="the tarball must be made anew without it",
    )
