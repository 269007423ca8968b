"""What Celery's workers are set to: what a killed or a lost worker may not cost."""

from __future__ import annotations

from celery.app.defaults import NAMESPACES, flatten

from icfqueue.broker.celery_app import make_app
from icfqueue.broker.connection import Broker
from workers.settings import worker_settings


def test_a_message_is_taken_off_when_its_step_is_over_and_handed_out_once() -> None:
    found = worker_settings()
    assert found["task_acks_late"] is True
    # A visit that kills every worker is found by its lease, and has a limit.
    assert found["task_reject_on_worker_lost"] is False
    assert found["task_acks_on_failure_or_timeout"] is True


def test_no_visit_waits_behind_another_ones_large_tarball() -> None:
    assert worker_settings()["worker_prefetch_multiplier"] == 1


def test_a_broker_that_went_away_for_a_moment_ends_no_step() -> None:
    found = worker_settings()
    assert found["worker_cancel_long_running_tasks_on_connection_loss"] is False
    assert found["broker_connection_retry"] is True


def test_retries_are_the_records_and_not_celerys() -> None:
    assert worker_settings()["task_annotations"]["*"]["max_retries"] is None


def test_whether_events_are_sent_is_set() -> None:
    assert worker_settings()["worker_send_task_events"] is True
    assert worker_settings(events=False)["worker_send_task_events"] is False
    # Whoever can write to the broker must not be able to steer a worker.
    assert worker_settings()["worker_enable_remote_control"] is False


def test_celery_knows_every_setting() -> None:
    """One that is mistyped would do nothing, in silence."""
    known = {name for name, _ in flatten(NAMESPACES)}
    assert set(worker_settings()) <= known


def test_they_contradict_nothing_that_both_ends_agree_on() -> None:
    shared = make_app(Broker("redis://host")).conf
    defaults = {name: option.default for name, option in flatten(NAMESPACES)}
    for name, ours in worker_settings().items():
        assert shared[name] in (defaults[name], ours), name
