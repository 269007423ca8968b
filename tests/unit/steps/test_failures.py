"""What an exception that a step raised means for its visit."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from icfqueue.core.errors import (
    BadTarball,
    DiskTrouble,
    PermanentError,
    StepError,
    StoreBusy,
    TransientError,
)
from icfqueue.steps.failures import as_step_error
from icfqueue.store.disk import DISK_ERRORS

SECRET = "DOE^JANE hunter2"


@pytest.mark.parametrize("error", [BadTarball("x"), StoreBusy("x"), DiskTrouble("x")])
def test_errors_of_steps_stay_as_they_are(error: StepError) -> None:
    assert as_step_error(error) is error


@pytest.mark.parametrize("number", sorted(DISK_ERRORS))
def test_a_disk_in_trouble_is_disk_trouble_wherever_it_shows(number: int) -> None:
    found = as_step_error(OSError(number, os.strerror(number), "/store/x"))
    assert isinstance(found, DiskTrouble)
    assert "/store/x" in found.message


@pytest.mark.parametrize("error", [MemoryError(), ConnectionResetError()])
def test_other_trouble_with_the_machine_may_pass(error: Exception) -> None:
    found = as_step_error(error)
    assert type(found) is TransientError
    assert type(error).__name__ in found.message


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_file_that_may_not_be_used_is_permanent_and_named(code: int) -> None:
    found = as_step_error(OSError(code, os.strerror(code), "/store/x"))
    assert type(found) is PermanentError
    assert "/store/x" in found.message
    for word in ("owner", "group", "umask"):
        assert word in found.hint


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_work_folder_that_keeps_the_group_out_may_be_mended(code: int) -> None:
    """Its owner's worker can take the visit, and the hint says what else helps."""
    path = "/store/study_1/.icfqueue/visit_00"
    found = as_step_error(OSError(code, os.strerror(code), path))
    assert type(found) is TransientError
    assert path in found.message
    assert "/store/study_1/.icfqueue" in found.hint


def test_what_nobody_expected_is_permanent_and_shows_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exception's own words may hold a DICOM value: neither status nor log has them."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match="hunter2") as raised:
        int(SECRET)
    found = as_step_error(raised.value)
    assert type(found) is PermanentError
    assert "unexpected ValueError" in found.message
    assert "Traceback" not in found.message + found.hint
    assert SECRET not in found.message + found.hint + caplog.text
    assert "test_failures.py" in caplog.text
