"""Step ``export_repo``: the two metadata files become a DataLad dataset in the store.

It looks whether the deposit is there already (:mod:`icfqueue.outputs.deposit`), has it
built in a bare repository (:mod:`icfqueue.dataset.build`), and publishes it.

Nothing in a dataset depends on the host, the clock or the run: ids are made from the
store's address and the visit's name, dates are the tarball's.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

from icfqueue.core.errors import PermanentError, TarballChanged, ToolFailed
from icfqueue.core.options import Outcome
from icfqueue.dataset import repository
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.dataset.build import build
from icfqueue.dataset.history import Base, offsets_of, read_base
from icfqueue.outputs import deposit, metadata_files, references, tarball_index
from icfqueue.outputs.completeness import is_outdated, right_source
from icfqueue.outputs.deposit import Deposit, Source
from icfqueue.outputs.metadata_files import DicomRecord, DicomsFile, TarballMeta
from icfqueue.outputs.references import Place
from icfqueue.steps.job import Job
from icfqueue.store.disk import disk_trouble

log = logging.getLogger(__name__)


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
        store, visit, force = job.store, job.visit, job.options.force
        old = deposit.read(store, visit)
        dicoms = DicomsFile(store, visit)
        if old and not force:
            done = right_source(old, store, visit, job.options.store_url, dicoms)
            if done is not None:
                return _outcome(done, old.refs, worked=False)
        if old and old.source is None and not force:
            raise PermanentError(
                f"{visit.refs} and {visit.repo_export} were made by another tool",
                hint="keep them and leave the visit out ('icfqueue forget PROJECT VISIT'), "
                "or replace them: 'icfqueue run PROJECT VISIT --force'",
                cause="foreign",
            )
        # Without refs, too: a worker may have died while it replaced the deposit.
        previous = old or deposit.read_export(store, visit)
        source, records = _recorded(job, previous, dicoms)
        with store.scratch(visit, job.guard) as scratch:
            base = _base(job, source, previous, scratch / "repo")
            if previous and base and _is_made_from(source, previous, job):
                # Not again: it would get a commit that changes nothing.
                deposit.publish_refs(store, visit, previous.refs, scratch, job.guard)
                return _outcome(source, previous.refs, worked=old is None)
            return _build(job, source, records, base, scratch, keys=keys or job.keys)


def _is_made_from(source: Source, previous: Deposit, job: Job) -> bool:
    """Tell whether the old deposit is as good as the one that would be made."""
    if previous.source is None or is_outdated(previous.source, job.store, job.visit):
        return False
    return previous.source == replace(source, format=previous.source.format)


def _base(job: Job, source: Source, previous: Deposit | None, repo: Path) -> Base | None:
    """Make the bare repository `repo` and return the old dataset in it, to build upon.

    One of another store URL has other ids, so that no clone of it could be updated; one
    that another tool made has others, too. One that is damaged is left out.
    """
    repository.make_bare(repo)
    if previous is None or previous.source is None or previous.source.url != source.url:
        return None
    try:
        deposit.unpack(job.store, job.visit, repo)
        repository.check_objects(repo, previous.refs.values(), job.guard)
        return read_base(repo, previous.refs, previous.source.md5, job.guard)
    except (ToolFailed, BadZipFile, ValueError):
        log.warning("the old deposit of %s is damaged: the new one begins anew", job.visit)
    shutil.rmtree(repo)
    repository.make_bare(repo)
    return None


def _build(
    job: Job,
    source: Source,
    records: list[DicomRecord],
    base: Base | None,
    scratch: Path,
    *,
    keys: KeySource | None,
) -> Outcome:
    """Build the dataset and publish it."""
    store, visit, guard, repo = job.store, job.visit, job.guard, scratch / "repo"
    paths = [str(record["path"]) for record in records]
    offsets = tarball_index.read_offsets(store, visit, source.md5, paths, guard)
    if offsets is None and base and base.tarball_md5 == source.md5:
        offsets = offsets_of(base, records)
    if offsets is None:
        source = replace(source, format=deposit.WITHOUT_PLACES)
    places = _references(job, source, records, offsets, scratch)
    build(
        repo,
        visit,
        job.options.store_url,
        source,
        records,
        offsets=offsets,
        base=base,
        keys=keys,
        guard=guard,
    )
    refs = deposit.pack_refs(repo)
    export = scratch / "export"
    deposit.write_export(repo, export, source)
    guard.advance()
    changed = deposit.publish(store, visit, export, refs, guard, references=places)
    return _outcome(source, refs, worked=changed)


def _references(
    job: Job,
    source: Source,
    records: list[DicomRecord],
    offsets: list[int] | None,
    scratch: Path,
) -> Path | None:
    """Write the references, if they are wanted or there are older ones to be renewed."""
    there = job.store.path(job.visit, job.visit.metadata_references)
    wanted = job.settings.publish_references or job.store.exists(there)
    if offsets is None or not wanted:
        return None
    places = (
        Place(record["path"], record["md5"], start, record["size"])
        for record, start in zip(records, offsets, strict=True)
    )
    made = scratch / "references"
    made.write_text(references.dump(source.url, places), encoding="utf-8")
    return made


def _recorded(
    job: Job, old: Deposit | None, dicoms: DicomsFile
) -> tuple[Source, list[DicomRecord]]:
    """Return what the dataset is to be made from, as the metadata files say."""
    tarball = metadata_files.read_tarball(job.store, job.visit)
    if tarball is None:
        raise job.unseen(
            PermanentError(
                f"no metadata of {job.visit} in the store directory",
                hint="its first steps make them: 'icfqueue run PROJECT VISIT --force'",
                cause="metadata",
            )
        )
    if job.is_stale(tarball.md5):
        raise job.unseen(
            PermanentError(f"the new metadata of {job.visit} are missing", cause="metadata")
        )
    metadata = dicoms.md5
    if metadata is None:
        raise job.unseen(dicoms.missing())
    records = dicoms.records()
    source = Source(
        url=f"{job.options.store_url.rstrip('/')}/{tarball.storepath}",
        md5=tarball.md5,
        size=tarball.size,
        newest=_newest(job, tarball, old),
        metadata=metadata,
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

    From what `index_tar` left, else from the deposit to replace, else from the tarball,
    which is read for it.
    """
    known = tarball_index.read(job.store, job.visit)
    if known and known.tarball.md5 == tarball.md5:
        return known.tarball.newest
    here = job.store.fingerprint(job.store.path(job.visit, job.visit.tarball))
    if here is not None and here.size != tarball.size:
        raise TarballChanged(
            f"{job.visit.tarball} has {here.size} bytes, its metadata say {tarball.size}",
            hint="'icfqueue run PROJECT VISIT --force' makes everything anew from it",
        )
    if old and old.source and old.source.md5 == tarball.md5:
        return old.source.newest
    if here is not None:
        return tarball_index.newest_time(job.store, job.visit, job.guard)
    raise PermanentError(
        f"the dates in {job.visit.tarball} are not known any more: neither the tarball nor "
        "a deposit made of it is in the store directory",
        hint="'icfqueue run PROJECT VISIT --force' fetches the tarball anew",
        cause="metadata",
    )
