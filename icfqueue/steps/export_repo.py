"""Step ``export_repo``: the two metadata files become a DataLad dataset in the store.

It looks whether the deposit is there already (:mod:`icfqueue.outputs.deposit`), has it
built in a bare repository (:mod:`icfqueue.dataset.build`), and publishes it.

Nothing in a dataset depends on the host, the clock or the run: ids are made from the
store's address and the visit's name, dates are the tarball's.
"""

from __future__ import annotations

from icfqueue.core.errors import PermanentError, TarballChanged
from icfqueue.core.options import Outcome
from icfqueue.dataset import repository
from icfqueue.dataset.annex_keys import KeySource
from icfqueue.dataset.build import build
from icfqueue.outputs import deposit, metadata_files, tarball_index
from icfqueue.outputs.completeness import right_source
from icfqueue.outputs.deposit import Deposit, Source
from icfqueue.outputs.metadata_files import DicomRecord, DicomsFile, TarballMeta
from icfqueue.steps.job import Job
from icfqueue.store.disk import disk_trouble


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
        old = deposit.read(job.store, job.visit)
        dicoms = DicomsFile(job.store, job.visit)
        if old and not job.options.force:
            url = job.options.store_url
            done = right_source(old, job.store, job.visit, url, dicoms)
            if done is not None:
                return _outcome(done, old.refs, worked=False)
        if old and old.source is None and not job.options.force:
            raise PermanentError(
                f"{job.visit.refs} and {job.visit.repo_export} were made by another tool",
                hint="keep them and leave the visit out, or replace them with --force",
            )
        source, records = _recorded(job, old, dicoms)
        with job.store.scratch(job.visit, job.guard) as scratch:
            repo = repository.make_bare(scratch / "repo")
            build(
                repo,
                job.visit,
                job.options.store_url,
                source,
                records,
                keys=keys or job.keys,
                guard=job.guard,
            )
            refs = deposit.pack_refs(repo)
            export = scratch / "export"
            deposit.write_export(repo, export, source)
            job.guard.advance()
            changed = deposit.publish(job.store, job.visit, export, refs, job.guard)
    return _outcome(source, refs, worked=changed)


def _recorded(
    job: Job, old: Deposit | None, dicoms: DicomsFile
) -> tuple[Source, list[DicomRecord]]:
    """Return what the dataset is to be made from, as the metadata files say."""
    tarball = metadata_files.read_tarball(job.store, job.visit)
    if tarball is None:
        raise job.unseen(
            PermanentError(
                f"no metadata of {job.visit} in the store directory",
                hint="run the visit again with --force: its first steps make them",
            )
        )
    if job.is_stale(tarball.md5):
        raise job.unseen(PermanentError(f"the new metadata of {job.visit} are missing"))
    if dicoms.md5 is None and job.vouched:
        raise job.unseen(PermanentError(f"{job.visit.metadata_dicoms} is missing"))
    metadata, records = dicoms.md5, dicoms.records()
    assert metadata is not None  # noqa: S101 - for the type checker: there are records
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

    From what `index_tar` left, else from the tarball, else from the deposit to replace.
    """
    known = tarball_index.read(job.store, job.visit)
    if known and known.tarball.md5 == tarball.md5:
        return known.tarball.newest
    here = job.store.fingerprint(job.store.path(job.visit, job.visit.tarball))
    if here is not None:
        if here.size != tarball.size:
            raise TarballChanged(
                f"{job.visit.tarball} has {here.size} bytes, its metadata say "
                f"{tarball.size}",
                hint="--force makes everything anew from this tarball",
            )
        return tarball_index.newest_time(job.store, job.visit, job.guard)
    if old and old.source and old.source.md5 == tarball.md5:
        return old.source.newest
    raise PermanentError(
        f"the dates in {job.visit.tarball} are not known any more: neither the tarball nor "
        "a deposit made of it is in the store directory",
        hint="run the visit again with --force: it fetches the tarball anew",
    )
