"""Credentials as a worker has them: in the environment, with no terminal and no keyring."""

from __future__ import annotations

from typing import Protocol

import pytest


class Guarded(Protocol):
    """A store on the web that asks for a password."""

    url: str
    realm: str
    user: str
    password: str


def set_credential(monkeypatch: pytest.MonkeyPatch, **properties: str) -> None:
    """Have DataLad know a credential called ``store``, with these properties."""
    for name, value in properties.items():
        monkeypatch.setenv(f"DATALAD_CREDENTIAL_STORE_{name.upper()}", value)


def log_in(
    monkeypatch: pytest.MonkeyPatch, web: Guarded, *, password: str | None = None
) -> None:
    """Have DataLad know the credential of a store, by default with its password."""
    set_credential(
        monkeypatch,
        type="user_password",
        realm=f"{web.url}/{web.realm}",
        user=web.user,
        secret=web.password if password is None else password,
    )
