"""Whether everything that speaks of a visit says the same.

Record, tarball here and at the store, metadata, dataset, catalog and superdataset are
compared; what differs is named, with what to do. Nothing is changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from icfqueue.catalog import study
from icfqueue.core.errors import (
    AccessDenied,
    NetworkTrouble,
    NotInStore,
    StepError,
    StoreBusy,
)
from icfqueue.core.visit import Visit
from icfqueue.dataset.superdataset import entries
from icfqueue.dataset.superdataset.renewal import Found
from icfqueue.ledger.ledger import Entry
from icfqueue.ledger.record import Record, State
from icfqueue.outputs import completeness, freshness, metadata_files
from icfqueue.outputs.freshness import KnownTarball
from icfqueue.remote.client import RemoteStore
from icfqueue.steps.job import Job
from icfqueue.store.beneath.walk import HIDDEN
from icfqueue.store.directory import ARCHIVING, Store
from icfqueue.store.inventory import OF_A_STORE, present


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree with the others.

    Attributes
    ----------
    where
        ``record``, ``tarball``, ``store``, ``metadata``, ``dataset``, ``catalog``,
        ``superdataset``.
    what
        What was found.
    hint
        What to do.
    unreachable
        The store did not answer or refused: nothing is known of what it has.
    """

    where: str
    what: str
    hint: str
    unreachable: bool = False


REDO = "'icfqueue run PROJECT VISIT --force' makes it anew"
AGAIN = "'icfqueue run PROJECT VISIT' goes on with it"


def differences(
    job: Job,
    entry: Entry | None,
    listed: set[Visit],
    remote: RemoteStore | None,
    silent: Difference | None = None,
    *,
    commits: Mapping[Visit, str] | None = None,
) -> list[Difference]:
    """Return what does not agree for one visit.

    Parameters
    ----------
    entry
        Its record.
    listed
        The visits on the study page.
    remote
        The store on the web; None leaves it out.
    silent
        What was found when the store was asked before and did not answer: it is not
        asked again, for each question may take as long as a connection may.
    commits
        Visit to commit, as the project's superdataset has them; None if it has none.
    """
    found = entry.record if entry else None
    if found and found.active:
        words = f"not finished ({found.state} at {found.step})"
        return [
            Difference(
                "record", words, "'icfqueue status PROJECT --wait', then verify again"
            )
        ]
    parts = (
        _record(found),
        _dataset(job, found),
        _metadata(job, found),
        _tarball(job, found),
        [silent] if silent else _store(job, remote),
        _catalog(job, found, listed),
        _superdataset(job, found, commits),
    )
    return [difference for part in parts for difference in part]


def _record(found: Record | None) -> Iterator[Difference]:
    if found is None:
        yield Difference(
            "record", "there is none", "'icfqueue reconcile PROJECT' makes one"
        )
    elif found.state != State.DONE:
        message = (found.error or {}).get("message", "")
        words = f"{found.state} at {found.step}" + (f": {message}" if message else "")
        again = "'icfqueue retry PROJECT VISIT' goes on with it"
        yield Difference("record", words, own_remedy(found) or again)


def own_remedy(found: Record | None) -> str:
    """Return what helps against the error of a visit that trying again does not help.

    Empty if there is none.
    """
    error = (found.error if found and found.state == State.FAILED else None) or {}
    return error.get("hint", "") if error.get("kind") == "permanent" else ""


def _dataset(job: Job, found: Record | None) -> Iterator[Difference]:
    try:
        whole = completeness.whole_deposit(job.store, job.visit, job.options.store_url)
    except StepError as error:
        yield Difference("dataset", error.message, error.hint)
        return
    if whole is None:
        if found is None or found.state == State.DONE:
            words = "missing, not whole, or not made from these metadata for this store URL"
            yield Difference("dataset", words, AGAIN)
        return
    deposit, _ = whole
    if found and found.refs and found.refs != deposit.refs:
        yield Difference("dataset", "its commits are not those of the record", REDO)


def _metadata(job: Job, found: Record | None) -> Iterator[Difference]:
    store, visit = job.store, job.visit
    names = [visit.metadata_tarball, visit.metadata_dicoms]
    missing = [name for name in names if not store.exists(store.path(visit, name))]
    removed = found is not None and found.options.remove_metadata
    if missing and not (removed and len(missing) == len(names)):
        yield Difference("metadata", f"missing: {', '.join(missing)}", AGAIN)
        return
    if missing or found is None or found.dicoms is None:
        return
    try:
        count = len(metadata_files.read_dicoms(store, visit))
    except StepError as error:
        yield Difference("metadata", error.message, error.hint)
        return
    if count != found.dicoms:
        words = f"{count} DICOMs, the record says {found.dicoms}"
        yield Difference("metadata", words, REDO)


def _tarball(job: Job, found: Record | None) -> Iterator[Difference]:
    """Compare the tarball here; read unless the record knows it."""
    store, visit = job.store, job.visit
    here = store.fingerprint(store.path(visit, visit.tarball))
    recorded = completeness.recorded(store, visit)
    if here is None or recorded is None:
        return
    known = KnownTarball.of(found.fingerprint, found.tar_md5) if found else None
    change = freshness.change_here(store, visit, here, recorded, job.guard, known=known)
    if change is None:
        return
    was = f"was {change.recorded} when the dataset was made"
    yield Difference("tarball", f"{change.words()[0]}, {was}", REDO)


def _store(job: Job, remote: RemoteStore | None) -> Iterator[Difference]:
    recorded = completeness.recorded(job.store, job.visit)
    if remote is None or recorded is None:
        return
    url = f"{job.options.store_url}/{job.visit.storepath}"
    try:
        there = remote.head(job.visit.storepath)
        md5 = remote.md5sum(job.visit)
    except NotInStore:
        yield Difference("store", f"{url} is not there", "images cannot be got until it is")
        return
    except (NetworkTrouble, StoreBusy, AccessDenied) as error:
        yield Difference("store", error.message, error.hint, unreachable=True)
        return
    change = freshness.change_in_store(there.size, md5, recorded)
    if change is None:
        return
    made = f"the dataset was made from {change.recorded}"
    yield Difference("store", f"{url} has {change.words()[0]}, {made}", REDO)


def _catalog(job: Job, found: Record | None, listed: set[Visit]) -> Iterator[Difference]:
    if found is None or found.state != State.DONE or not found.options.catalog:
        return
    again = "'icfqueue catalog PROJECT' builds it anew"
    if not study.has_page(job.store, job.visit, job.options.store_url):
        yield Difference("catalog", "its page is missing", again)
    elif job.visit not in listed:
        yield Difference("catalog", "the study page does not list it", again)


def _superdataset(
    job: Job, found: Record | None, commits: Mapping[Visit, str] | None
) -> Iterator[Difference]:
    if commits is None or not expects_superdataset(found):
        return
    deposited = entries.read(job.store, job.visit)
    if deposited is None or commits.get(job.visit) == deposited.commit:
        return
    there = job.visit in commits
    words = "it has another commit of the visit" if there else "it does not list the visit"
    yield Difference("superdataset", words, _renew(job.visit.project))


def expects_superdataset(found: Record | None) -> bool:
    """Return whether a visit with this record is to be in the superdataset."""
    return found is not None and found.state == State.DONE and found.options.superdataset


def of_superdataset(
    store: Store, project: str, found: Found | None, *, wanted: bool
) -> Iterator[Difference]:
    """Yield what is wrong with a project's superdataset as a whole.

    Parameters
    ----------
    found
        What is there; None if nothing, or nothing that can be read.
    wanted
        Whether there should be one.
    """
    hint = _renew(project)
    if found is None or found.commits is None:
        if wanted:
            yield Difference("superdataset", "there is none, or it is damaged", hint)
        return
    if found.refs != found.commit:
        words = "its two files do not belong together: clones are not told of its newest"
        yield Difference("superdataset", words, hint)
    for visit in sorted(found.commits.keys() - entries.deposited(store, project)):
        words = f"it lists {visit.id}, which has no deposit"
        yield Difference("superdataset", words, hint)


def _renew(project: str) -> str:
    return f"'icfqueue catalog {project}' renews it"


def orphans(
    store: Store, project: str, listed: set[Visit], active: Sequence[Visit]
) -> list[Difference]:
    """Return what belongs to no visit: pages, work folders, half deposits."""
    found = []
    visits = set(present(store, project))
    for visit in sorted(listed - visits):
        words = f"{visit.id} is on the study page, but has no files"
        found.append(
            Difference("catalog", words, f"'icfqueue catalog {project}' builds it anew")
        )
    work = store.project_dir(project) / HIDDEN
    busy = {visit.id for visit in active}
    for name in sorted(entry.name for entry in store.listing(work)):
        path = work / name
        if name.startswith(ARCHIVING):
            words = f"{path} was left behind by the command archive, or that is at work"
            remedy = f"if it is not: `rm -r {shlex.quote(str(path))}`"
            found.append(Difference("work folder", words, remedy))
        elif name not in busy and name not in OF_A_STORE:
            words = f"{path} was left behind by a visit that is not active"
            found.append(
                Difference(
                    "work folder",
                    words,
                    f"`icfqueue run {project} {shlex.quote(name)}` goes on with it, "
                    f"`rm -r {shlex.quote(str(path))}` removes it",
                )
            )
    return found
