"""Log in at the store with DataLad's credentials, and never ask anybody for one.

DataLad keeps a credential's properties in the Git configuration (or in
``DATALAD_CREDENTIAL_<NAME>_<PROPERTY>``) and its secret in the keyring.
:class:`datalad_next.utils.requests_auth.DataladAuth` finds the one that fits the realm of
a server's challenge. What is added here: no prompt, no credential for another host, and
no second challenge for what one credential has opened already.

Not for use by two threads at once, as ``DataladAuth`` itself.
"""

from __future__ import annotations

import getpass
import logging
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from icfqueue.core.plain_text import shown
from icfqueue.remote import quiet_datalad

if TYPE_CHECKING:
    import requests

# DataLad warns, when it is imported, of a Git without a user's name; we commit nothing.
logging.getLogger("datalad.config").setLevel(logging.ERROR)

_PROMPTS = threading.Lock()

_MISREAD = (AssertionError, AttributeError, LookupError, TypeError)
"""What datalad-next raises on a ``WWW-Authenticate`` header it did not foresee."""


class StoreLogin:
    """What one session has learnt about logging in at one store.

    Parameters
    ----------
    url
        The store URL; nothing outside its origin gets a credential.
    name
        Name of the DataLad credential, or None for the last used that fits the realm.
    own
        The store URL of this process' settings. With another origin than that of `url`,
        which may come from a visit's record, nothing gets a credential: who can write a
        record could have it sent anywhere. None is `url`.

    Attributes
    ----------
    refusal
        Why there was no access, in a few words without any secret; empty at first.
    realm
        What the store called the area, as DataLad writes it (with the host before it).
    elsewhere
        Whether the store is another than the settings'.
    """

    def __init__(self, url: str, name: str | None, own: str | None = None) -> None:
        self.url = url
        self.own = url if own is None else own
        self.elsewhere = origin(self.own) != origin(url)
        self.name = name
        self.refusal = ""
        self.realm = ""
        self._opened: dict[str, str] = {}

    def auth(self) -> requests.auth.AuthBase:
        """Return the handler that ``requests`` calls for each request."""
        quiet_datalad.prepare()
        from datalad_next.config import ConfigManager
        from datalad_next.utils.requests_auth import DataladAuth

        login = self

        class SilentDataladAuth(DataladAuth):  # type: ignore[misc]  # DataLad is untyped
            """Looks a credential up afresh at each challenge, without a prompt."""

            def __call__(self, request: Any) -> Any:
                known = login._opened.get(login.area(request.url))
                if known and login.covers(request.url):
                    request.headers["Authorization"] = known
                return super().__call__(request)

            def _get_credential(self, url: str, schemes: Any) -> Any:
                if login.elsewhere:
                    login.refusal = (
                        "it gets no credential, for this worker's setting store_url names "
                        f"another store, {login.own}"
                    )
                    return None, None, None
                if not login.covers(url):
                    login.refusal = "it is another host, which gets no credential"
                    return None, None, None
                # A new manager each time: a worker lives long, and a credential that
                # was set meanwhile must be seen.
                self._credman = silent_manager(ConfigManager())
                return login._checked(super()._get_credential, url, schemes)

            def handle_401(self, response: Any, **how: Any) -> Any:
                try:
                    return super().handle_401(response, **how)
                except _MISREAD:
                    login.refusal = "its challenge for a password cannot be understood"
                    return response

            def handle_redirect(self, response: Any, **_: object) -> None:
                """Keep the credential's name: `covers` guards other hosts."""

            def _authenticated_rerequest(self, response: Any, auth: Any, **how: Any) -> Any:
                answer = super()._authenticated_rerequest(response, auth, **how)
                login._remember(answer)
                return answer

        return SilentDataladAuth(None, credential=self.name)

    def covers(self, url: str) -> bool:
        """Tell whether the store's credential may go to `url`."""
        import requests

        if self.elsewhere:
            return False
        session = requests.Session()
        return not session.should_strip_auth(self.url, url)  # type: ignore[no-untyped-call]  # public, but not in types-requests

    @property
    def remedy(self) -> str:
        """What to do where the store is another than the settings'."""
        return (
            f"set ICFQUEUE_STORE_URL={shlex.quote(self.url)} where the workers run, if "
            "that is the right store; else `icfqueue run PROJECT VISIT --store-url "
            f"{shlex.quote(self.own)}`"
        )

    def area(self, url: str) -> str:
        """Return the project of `url`: each may have a credential of its own."""
        below = unquote(urlsplit(url).path).removeprefix(unquote(urlsplit(self.url).path))
        return below.lstrip("/").partition("/")[0]

    def _checked(self, find: Any, url: str, schemes: Any) -> tuple[Any, Any, Any]:
        """Call DataLad's look-up `find`; note why nothing came of it."""
        from datalad_next.utils.http_helpers import get_auth_realm

        nothing = (None, None, None)
        if not {"basic", "digest", "bearer"} & set(schemes):
            wanted = shown("/".join(schemes))
            self.refusal = f"it wants the log-in {wanted}, unknown to DataLad"
            return nothing
        self.realm = str(get_auth_realm(url, schemes))
        try:
            with no_prompt():
                scheme, name, found = find(url, schemes)
        except Exception as error:  # noqa: BLE001 - a keyring can fail in any way
            # Only the class: a keyring's message is not ours to show.
            self.refusal = f"DataLad's look-up failed ({type(error).__name__})"
            return nothing
        label = f"DataLad credential {self.name!r}" if self.name else "a DataLad credential"
        if not found or not found.get("secret"):
            self.refusal = f"{label} with a secret was not found"
            return nothing
        if found.get("type", "user_password") == "user_password" and not found.get("user"):
            self.refusal = f"{label} has no user"
            return nothing
        self.refusal = f"DataLad credential {name!r} was refused"
        return scheme, name, found

    def _remember(self, answer: requests.Response) -> None:
        """Keep the header that opened a project, unless it is good for once only."""
        header = str(answer.request.headers.get("Authorization", ""))
        area = self.area(answer.url or "")
        if answer.status_code in {401, 403}:
            self._opened.pop(area, None)
        elif header.startswith(("Basic ", "Bearer ")):
            self._opened[area] = header


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address (RFC 6454, section 4)."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or usual


def silent_manager(config: Any) -> Any:
    """Return a DataLad credential manager that asks nobody.

    DataLad decides by whether a terminal is there, and a worker may have one.
    """
    quiet_datalad.prepare()
    from datalad_next.credman import CredentialManager

    class SilentCredentialManager(CredentialManager):  # type: ignore[misc]  # DataLad is untyped
        def _ask_property(self, name: str, prompt: str | None = None) -> None:
            """Ask for nothing."""

        def _ask_secret(
            self, type_hint: str | None = None, prompt: str | None = None
        ) -> None:
            """Ask for nothing."""

    return SilentCredentialManager(config)


@contextmanager
def no_prompt() -> Iterator[None]:
    """Have an encrypted keyring fail instead of asking for its password.

    ``keyrings.alt`` calls :func:`getpass.getpass`, which opens the terminal whatever
    standard input is.
    """

    def refuse(*_: object, **__: object) -> NoReturn:
        raise EOFError("nobody to ask for the keyring's password")

    with _PROMPTS:
        asking = getpass.getpass
        getpass.getpass = refuse
        try:
            yield
        finally:
            getpass.getpass = asking
