"""How a task ends for Celery: success, failure or retry, as the visit's step did.

The record is the truth and the next message is sent already; this is for people who look
at Celery's own tools. What is raised here changes nothing of what happens to the visit or
the message: the message is done with in each case (``task_acks_on_failure_or_timeout``),
and a retry raised without a message of its own is only noted.
"""

from __future__ import annotations

from typing import NoReturn

from celery.exceptions import Retry

from icfqueue.pipeline.step_log import Ending


class StepFailed(Exception):
    """A visit failed: which, at what step and why."""


class TriedAgain(Exception):
    """A visit waits and is tried again: which, at what step and why."""


def as_celery_has_it(ending: Ending) -> str:
    """Return the word of a task that went well.

    Raises
    ------
    StepFailed
        A visit failed.
    celery.exceptions.Retry
        None failed, and one is tried again.
    """
    if ending.failed:
        raise StepFailed(_words(ending.failed))
    if ending.again:
        _raise_retry(_words(ending.again))
    return ending.word


def _raise_retry(words: str) -> NoReturn:
    raise Retry(words, exc=TriedAgain(words), when="its time in the record")


def _words(said: tuple[str, ...]) -> str:
    more = len(said) - 1
    return f"{said[0]} (and {more} more visits)" if more else said[0]
