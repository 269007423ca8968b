"""Whether and when a step that failed is tried again: one pure function."""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.errors import DiskTrouble, NoRoom, StepError, TransientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The part of a site's settings that decides about retries.

    Attributes
    ----------
    max_attempts
        How often a step is tried in all.
    base
        Seconds before the first retry; doubled for each further one.
    cap
        The longest wait, in seconds.
    disk_pause
        Seconds to wait when the disk is full.
    """

    max_attempts: int
    base: float
    cap: float
    disk_pause: float = 60.0


@dataclass(frozen=True, slots=True)
class Fail:
    """Do not try again."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after so many seconds; the attempt counts."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PostponeBy:
    """Try again after so many seconds; the attempt does not count."""

    seconds: float


Decision = Fail | RetryIn | PostponeBy


def decide(error: StepError, faults: int, policy: RetryPolicy, jitter: float) -> Decision:
    """Decide what follows a failed attempt.

    Parameters
    ----------
    error
        Why it failed.
    faults
        Attempts of this step that failed so far, this one included.
    policy
        The site's settings.
    jitter
        A random number in [0, 1): spreads visits that failed together ("full jitter" in
        the upper half of the interval, so that a wait is never short).

    Returns
    -------
    Fail, RetryIn or PostponeBy
        A full disk is no visit's fault, nor is a tarball that does not fit, and neither is
        a store that says when to come back (`retry_after`): such attempts do not count.
    """
    if not isinstance(error, TransientError):
        return Fail()
    if isinstance(error, NoRoom) or (isinstance(error, DiskTrouble) and error.full):
        return PostponeBy(policy.disk_pause)
    # "Retry-After: 0" names no time: taken at its word, it would be tried without end.
    if error.retry_after:
        return PostponeBy(error.retry_after)
    if faults >= policy.max_attempts:
        return Fail()
    return RetryIn(pause(faults, policy, jitter))


def pause(faults: int, policy: RetryPolicy, jitter: float) -> float:
    """Return the seconds before the next try after so many that failed; as `decide`."""
    # The exponent is bounded so that a policy of very many attempts stays a number.
    ceiling = min(policy.cap, policy.base * 2.0 ** min(faults - 1, 60))
    return ceiling * (0.5 + 0.5 * jitter)
