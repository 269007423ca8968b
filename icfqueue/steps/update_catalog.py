"""Step ``update_catalog``: the pages of visits, and their study's, for a web browser."""

from __future__ import annotations

from collections.abc import Sequence

from icfqueue.catalog import study
from icfqueue.core.errors import StepError
from icfqueue.core.options import Outcome, Results
from icfqueue.steps.job import Job


def run(job: Job) -> Outcome:
    """Write the page of one visit and list it on the study page.

    Raises
    ------
    StepError, Withdrawn
        As :func:`icfqueue.catalog.study.add_visits`; the visit's own error is raised.
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
        As :func:`icfqueue.catalog.study.add_visits`.
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
        )
    return results
