"""What an answer of the store, or the lack of one, amounts to as one of our errors.

Neither a password nor an ``Authorization`` header is ever part of an error.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from icfqueue.core.errors import (
    AccessDenied,
    NetworkTrouble,
    NotInStore,
    PermanentError,
    StepError,
    StoreBusy,
)
from icfqueue.core.plain_text import shown

MAX_RETRY_AFTER = 3600.0
"""Longest wait that a store may ask of us, in seconds; a slip of its clock or of its
configuration must not park a project for days."""

MAX_REDIRECTS = 5
"""How many redirects are followed for one request."""


def of_status(
    status: int, url: str, headers: Mapping[str, str], now: float | None = None
) -> StepError:
    """Return the error that an answer of the store amounts to.

    ==================  ====================================================
    401, 403            AccessDenied
    404, 410            NotInStore
    408, 425, 5xx       NetworkTrouble: another try may be answered
    429, 503            StoreBusy, with Retry-After (RFC 9110, 10.2.3)
    all others          PermanentError
    ==================  ====================================================

    Parameters
    ----------
    status
        What the store answered.
    url
        What it was asked for; without a login.
    headers
        The headers of the answer.
    now
        Seconds since 1970, for a Retry-After that is a date.
    """
    found = f"{url} answers {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(
            f"{found}: no access",
            # Its class's own hint.
        )
    if status == HTTPStatus.FORBIDDEN:
        return AccessDenied(
            f"{found}: no access to this",
            hint="have the store give access to it, then 'icfqueue retry PROJECT VISIT'; "
            "or give DataLad a credential that has access, 'datalad credentials set NAME "
            "type=user_password user=USER', then 'icfqueue run PROJECT --credential NAME'",
            forbidden=True,
        )
    if status in {404, 410}:
        return NotInStore(
            f"{found}: it is not in the store",
            # Its class's own hint.
        )
    if status in {429, 503}:
        wait = retry_after(headers.get("Retry-After"), now)
        return StoreBusy(f"{found}: the store is busy", retry_after=wait)
    if status in {408, 425} or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return NetworkTrouble(f"{found}: the store is in trouble")
    return PermanentError(f"{found}, which icfqueue has no use for", cause="store-answer")


def of_exception(error: Exception, url: str) -> StepError:
    """Return the error that the lack of an answer amounts to.

    Nearly all of it may pass. A certificate that does not verify is among it: nothing was
    sent or accepted, it may be renewed in an hour, and a store that fails over and over is
    left alone for a while anyway, which is kinder than to fail its visits one by one.
    """
    import requests
    import urllib3

    reason = type(error).__name__
    if isinstance(error, StepError):
        return error
    if isinstance(error, requests.TooManyRedirects):
        return PermanentError(
            f"{url} redirects more than {MAX_REDIRECTS} times",
            hint="open the address in a browser: the store may want another way to log in",
            cause="store-answer",
        )
    if isinstance(error, ValueError | NotImplementedError) and not isinstance(
        error, requests.JSONDecodeError
    ):
        # InvalidURL, MissingSchema, a host that cannot be encoded; a way to log in that
        # DataLad does not know.
        return PermanentError(
            f"{url} cannot be asked for ({reason})",
            hint="check the store URL",
            cause="store-answer",
        )
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return NetworkTrouble(
            f"{url}: the secure connection was not made: {_first_words(error)}",
            hint=_certificate_hint(_bottom(error)),
            cause="certificate",
        )
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return NetworkTrouble(
            f"{url} did not answer in time",
            hint="is it up, and does a firewall let it by?",
            slow=True,
        )
    if isinstance(
        error, requests.RequestException | urllib3.exceptions.HTTPError | OSError
    ):
        return NetworkTrouble(f"{url}: {_first_words(error)}")
    raise error


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Turn what goes wrong while `url` is asked or received into one of our errors."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - `of_exception` raises what it does not know
        # No cause: a chain of errors may hold the request with its headers.
        raise of_exception(error, url) from None


def _certificate_hint(reason: object) -> str:
    """Return what helps against a certificate that does not verify."""
    fault = getattr(reason, "verify_code", None)
    if fault in _UNKNOWN_ISSUER:
        return (
            "if the store's certificate is from an authority of your own, put "
            "REQUESTS_CA_BUNDLE=/path/to/authorities.pem into the environment of commands "
            "and workers"
        )
    if fault in _OTHER_TIME:
        return "have the store's certificate renewed; or does a clock go wrong here?"
    if fault in _OTHER_NAME:
        return "use the store under a name that its certificate has (`store_url`)"
    return (
        "check the store's address and certificate; REQUESTS_CA_BUNDLE names a file with "
        "an authority of your own"
    )


_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
_OTHER_TIME = frozenset({9, 10})
_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_… (x509_vfy.h)."""


def _bottom(error: BaseException) -> object:
    """Return what lies at the bottom of a chain of wrapped errors."""
    reason: object = error
    for _ in range(6):
        inner = getattr(reason, "reason", None) or next(
            (arg for arg in getattr(reason, "args", ()) if isinstance(arg, Exception)), None
        )
        if inner is None or isinstance(inner, str):
            break
        reason = inner
    return reason


def _first_words(error: BaseException) -> str:
    """Return what lies at the bottom of a chain of wrapped errors, in one line."""
    reason = _bottom(error)
    words = shown(without_login(str(reason)[:_WORDS]), _WORDS)
    # urllib3 puts the connection object before a colon.
    return (
        re.sub(r"^(<[^>]*>|\S*Connection\([^)]*\)): ", "", words) or type(reason).__name__
    )


_WORDS = 200
"""Characters of a foreign error's words that are told."""


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, or None.

    It holds seconds or an HTTP date (RFC 9110, 10.2.3); at most :data:`MAX_RETRY_AFTER`.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        wait = float(value)
    else:
        try:
            until = email.utils.parsedate_to_datetime(value).timestamp()
        except (TypeError, ValueError, OverflowError):
            return None
        wait = until - (time.time() if now is None else now)
    return min(max(wait, 0.0), MAX_RETRY_AFTER)


def without_login(text: str) -> str:
    """Return `text` with ``user:password@`` taken out of the URLs in it."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", text)
