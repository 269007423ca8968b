"""What Celery's workers are set to, each with its reason."""

from __future__ import annotations

from typing import Any

from workers.telling.outcomes import StepFailed


def worker_settings(*, events: bool = True) -> dict[str, Any]:
    """Return Celery's settings beyond those both ends share.

    Parameters
    ----------
    events
        Whether Celery's own tools are told of each task.
    """
    return {
        # A message is taken off the list when its step is over, and a worker holds no
        # more messages than it has processes: otherwise visits wait behind a large
        # tarball while other workers are idle.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # What a lost process was doing is found by its lease. Redelivery would have no
        # limit if the visit kills every worker.
        "task_reject_on_worker_lost": False,
        "task_acks_on_failure_or_timeout": True,
        # True makes tasks in flight end REVOKED when the broker comes back.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry": True,
        # Retries are the record's affair. A visit that failed is no fault of the worker's,
        # and is logged already: Celery is not to log it once more with a traceback.
        "task_annotations": {"*": {"max_retries": None, "throws": (StepFailed,)}},
        "task_track_started": False,
        # By workers/telling/events.py. That a task was sent is no event: who hands visits
        # over needs no right to send any.
        "worker_send_task_events": events,
        "task_send_sent_event": False,
        # Who may write to the broker must not be able to stop a worker, to change it or
        # to ask it anything; `icfqueue cancel` goes by the record.
        "worker_enable_remote_control": False,
        "worker_consumer": "workers.consumer:Consumer",
        # An answer of the broker that nobody expected is waited out like its absence.
        "broker_channel_error_retry": True,
        # The number of messages at hand would be reduced, and not reliably raised again.
        "worker_enable_prefetch_count_reduction": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
