"""Celery is told how a visit's step ended."""

from __future__ import annotations

import pickle

import pytest
from celery.exceptions import Retry

from icfqueue.pipeline.step_log import Ending
from workers.telling.outcomes import StepFailed, TriedAgain, as_celery_has_it


def test_a_word_is_the_result_of_what_went_well() -> None:
    assert as_celery_has_it(Ending("queued")) == "queued"


def test_a_failure_goes_before_a_retry_and_says_of_how_many() -> None:
    with pytest.raises(StepFailed) as caught:
        as_celery_has_it(Ending("3 visits", failed=("a", "b"), again=("c",)))
    assert str(caught.value) == "a (and 1 more visits)"


def test_a_retry_is_noted_and_has_no_message_of_its_own() -> None:
    with pytest.raises(Retry) as caught:
        as_celery_has_it(Ending("waiting", again=("p/v fetch: network: reset",)))
    assert caught.value.sig is None
    # It comes from the child as a pickle of Celery's own pool, whole.
    again = pickle.loads(pickle.dumps(caught.value))
    assert repr(again.exc) == repr(TriedAgain("p/v fetch: network: reset"))
