"""Step ``update_catalog``: what shows visits together, for a browser and for DataLad.

The pages of visits and their study's, and the dataset that has them all as subdatasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from icfqueue.catalog import study
from icfqueue.core.errors import PermanentError, StepError
from icfqueue.core.options import Outcome, Results
from icfqueue.dataset.superdataset import renewal
from icfqueue.dataset.superdataset.entries import Deposited
from icfqueue.steps.job import Job


def run(job: Job) -> Outcome:
    """Write the page of one visit, list it on the study page and in the superdataset.

    Raises
    ------
    StepError, Withdrawn
        As :func:`run_batch`; the visit's own error is raised.
    """
    result = run_batch([job])[job.visit]
    if isinstance(result, StepError):
        raise result
    return result


def run_batch(jobs: Sequence[Job]) -> Results:
    """Write the pages of many visits of one study; return how each fared.

    Parameters
    ----------
    jobs
        The visits, all of one project and with the same surroundings. One study has one
        store URL, the last job's.

    Raises
    ------
    StepError, Withdrawn
        As :func:`icfqueue.catalog.study.add_visits` and
        :func:`icfqueue.dataset.superdataset.renewal.renew`.
    """
    results: Results = {
        job.visit: Outcome(worked=False, note="no catalog was asked for") for job in jobs
    }
    wanted = [job for job in jobs if job.options.catalog]
    if wanted:
        last = wanted[-1]
        results |= study.add_visits(
            last.store,
            last.visit.project,
            [job.visit for job in wanted],
            last.options.store_url,
            last.settings,
            guard=last.guard,
            vouched=last.vouched,
            superdataset=any(job.options.superdataset for job in jobs),
        )
    return results | _renew([job for job in jobs if job.options.superdataset], results)


def _renew(jobs: Sequence[Job], results: Results) -> Results:
    """Renew the superdataset; return what that means for the visits in `results`."""
    if not jobs:
        return {}
    last = jobs[-1]
    renewed = renewal.renew(
        last.store,
        last.visit.project,
        [job.visit for job in jobs],
        last.options.store_url,
        last.guard,
    )
    after: Results = {}
    for job in jobs:
        before = results[job.visit]
        if isinstance(before, StepError):
            continue
        if job.vouched and not _is_newest(job, renewed.read.get(job.visit)):
            name = f"the newest {job.visit.refs}"
            after[job.visit] = job.unseen(
                PermanentError(f"{name} is missing", cause="deposit")
            )
        elif job.visit in renewed.changed:
            after[job.visit] = replace(before, worked=True)
    return after


def _is_newest(job: Job, found: Deposited | None) -> bool:
    """Return whether what was read is what an earlier step has deposited."""
    if found is None:
        return False
    return found.source is None or not job.is_stale(found.source.md5)
