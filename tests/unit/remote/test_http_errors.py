"""What an answer of the store, or the lack of one, amounts to; no login is shown."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import urllib3

from icfqueue.core.errors import (
    AccessDenied,
    LeaseLost,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    StoreBusy,
)
from icfqueue.remote.http_errors import (
    MAX_RETRY_AFTER,
    asking,
    of_exception,
    of_status,
    retry_after,
    without_login,
)

URL = "https://data.example.org/study_1/v_dicom.tar"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, PermanentError),
        (304, PermanentError),
        (400, PermanentError),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotInStore),
        (405, PermanentError),
        (407, PermanentError),
        (408, NetworkTrouble),
        (410, NotInStore),
        (416, PermanentError),
        (425, NetworkTrouble),
        (429, StoreBusy),
        (451, PermanentError),
        (500, NetworkTrouble),
        (502, NetworkTrouble),
        (503, StoreBusy),
        (504, NetworkTrouble),
        (599, NetworkTrouble),
    ],
)
def test_each_status_has_one_meaning(status: int, kind: type[StepError]) -> None:
    error = of_status(status, URL, {})
    assert type(error) is kind
    assert error.message.startswith(f"{URL} answers {status}")


NO_POOL: Any = None
"""urllib3 has its errors name one; ours do not ask."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectionError("refused"), NetworkTrouble),
        (requests.exceptions.ProxyError("no proxy"), NetworkTrouble),
        (requests.exceptions.SSLError("certificate verify failed"), NetworkTrouble),
        (requests.ConnectTimeout(), NetworkTrouble),
        (requests.ReadTimeout(), NetworkTrouble),
        (requests.exceptions.ChunkedEncodingError("cut"), NetworkTrouble),
        (requests.TooManyRedirects(), PermanentError),
        (requests.exceptions.InvalidURL("no host"), PermanentError),
        (UnicodeError("label too long"), PermanentError),
        (urllib3.exceptions.ProtocolError("broken"), NetworkTrouble),
        (urllib3.exceptions.ReadTimeoutError(NO_POOL, URL, "slow"), NetworkTrouble),
        (urllib3.exceptions.SSLError("decryption failed"), NetworkTrouble),
        (ConnectionResetError(104, "Connection reset by peer"), NetworkTrouble),
        (TimeoutError(), NetworkTrouble),
    ],
)
def test_each_lack_of_an_answer_has_one_meaning(
    error: Exception, kind: type[StepError]
) -> None:
    assert type(of_exception(error, URL)) is kind


@pytest.mark.parametrize("error", [LeaseLost("gone"), AttributeError("a fault of ours")])
def test_what_is_no_trouble_of_the_web_passes(error: Exception) -> None:
    with pytest.raises(type(error)), asking(URL):
        raise error


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59.0),
        ("Friday, 31-Dec-99 23:59:59 GMT", 59.0),
        ("Fri Dec 31 23:59:59 1999", 59.0),
        ("Fri, 31 Dec 1999 23:58:00 GMT", 0.0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", MAX_RETRY_AFTER),
    ],
)
def test_retry_after_takes_seconds_and_dates(value: str | None, wait: float | None) -> None:
    assert retry_after(value, now=946_684_740.0) == wait


def test_a_busy_store_says_how_long() -> None:
    for status in (429, 503):
        error = of_status(status, URL, {"Retry-After": "7"})
        assert isinstance(error, StoreBusy)
        assert error.retry_after == 7


def test_a_login_in_a_url_is_never_shown() -> None:
    text = "GET https://alice:p@ss@data.example.org/x failed, see http://b@c.org/?q=a@b"
    assert without_login(text) == (
        "GET https://data.example.org/x failed, see http://c.org/?q=a@b"
    )


def test_an_error_in_one_line_has_no_login_and_no_chain() -> None:
    """A chain of errors may hold the request with its headers."""
    reason = requests.ConnectionError(
        OSError(111, "refused by\nhttps://alice:hunter2@data.example.org")
    )
    with pytest.raises(NetworkTrouble) as caught, asking(URL):
        raise reason
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_errors_of_ours_pass_through_once_more() -> None:
    error = NotInStore("404")
    assert of_exception(error, URL) is error


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_says_what_to_do(status: int) -> None:
    assert of_status(status, URL, {}).hint
