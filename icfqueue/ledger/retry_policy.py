"""Whether and when a step that failed is tried again: one pure function."""

from __future__ import annotations

from dataclasses import dataclass

from icfqueue.core.errors import StepError, TransientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What a site sets.

    Attributes
    ----------
    max_attempts
        How often a step is tried in all.
    base
        Seconds before the first retry; doubled for each further one.
    cap
        The longest wait, in seconds.
    """

    max_attempts: int
    base: float
    cap: float


@dataclass(frozen=True, slots=True)
class Fail:
    """Do not try again."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Try again after so many seconds."""

    seconds: float


Decision = Fail | RetryIn


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
    Fail or RetryIn
        The wait is at least what the other side asked for (`retry_after`).
    """
    if not isinstance(error, TransientError) or faults >= policy.max_attempts:
        return Fail()
    # The exponent is bounded so that a policy of very many attempts stays a number.
    ceiling = min(policy.cap, policy.base * 2.0 ** min(faults - 1, 60))
    wait = ceiling * (0.5 + 0.5 * jitter)
    return RetryIn(max(wait, error.retry_after or 0.0))
