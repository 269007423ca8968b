"""Credentials as a worker has them: in the environment, with no terminal and no keyring."""

from __future__ import annotations

import base64
from typing import Protocol

import pytest


class Guarded(Protocol):
    """A store on the web that asks for a password."""

    url: str
    realm: str
    user: str
    password: str


def basic(login: str) -> str:
    """Return the ``Authorization`` header for ``user:password`` (RFC 7617)."""
    return "Basic " + base64.b64encode(login.encode()).decode()


def credential(name: str = "store", **properties: str) -> dict[str, str]:
    """Return the variables by which DataLad knows a credential with these properties."""
    start = f"DATALAD_CREDENTIAL_{name.upper()}"
    return {f"{start}_{what.upper()}": value for what, value in properties.items()}


def login_of(
    web: Guarded, *, name: str = "store", password: str | None = None
) -> dict[str, str]:
    """Return the variables by which DataLad logs in at `web`."""
    return credential(
        name,
        type="user_password",
        realm=f"{web.url}/{web.realm}",
        user=web.user,
        secret=web.password if password is None else password,
    )


def set_credential(monkeypatch: pytest.MonkeyPatch, **properties: str) -> None:
    """Have DataLad know a credential called ``store``, with these properties."""
    for name, value in credential(**properties).items():
        monkeypatch.setenv(name, value)


def log_in(
    monkeypatch: pytest.MonkeyPatch,
    web: Guarded,
    *,
    name: str = "store",
    password: str | None = None,
) -> None:
    """Have DataLad know the credential of a store, by default with its password."""
    for variable, value in login_of(web, name=name, password=password).items():
        monkeypatch.setenv(variable, value)
