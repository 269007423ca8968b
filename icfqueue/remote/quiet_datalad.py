"""DataLad, kept from telling the programs that it starts what they need not know.

DataLad reads the Git configuration by ``git config``, when it is imported and for each
look at a credential, and gives ``git`` the whole environment: ``DATALAD_CREDENTIAL_…``
with the secret among it. DataLad itself needs those; ``git`` does not. Every module of
icfqueue that imports DataLad calls :func:`prepare` before.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from icfqueue.core.processes.groups import without_secrets

_OURS = re.compile(r"^(ICFQUEUE|CELERY|REDIS|VALKEY)")
_SETTING = re.compile(r"^DATALAD_(?!CONFIG_OVERRIDES)")
OVERRIDES = "DATALAD_CONFIG_OVERRIDES_JSON"
"""Variable by which DataLad is configured for one call."""

_ONE_AT_A_TIME = threading.Lock()
_done = False
_login_too = False


def hand_on_login() -> None:
    """Let the git-annex that DataLad starts in this process log in by itself.

    For a scientist's own program, whose git-annex gets tarballs: the broker's secrets are
    still kept from it.
    """
    global _login_too  # noqa: PLW0603 - one DataLad, one answer
    _login_too = True


def prepare() -> None:
    """Import DataLad; no ``git`` that it starts, now or later, is told a secret."""
    global _done  # noqa: PLW0603 - DataLad, which is changed, is there once as well
    with _ONE_AT_A_TIME:
        if _done:
            return
        if "datalad" not in sys.modules:
            with _hidden():
                import datalad
            # Now with what was hidden; asks no git again.
            datalad.cfg.reload()
        _clean_git()
        _done = True


def without_login(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` for a DataLad that needs no log-in: its settings stay."""
    told = without_secrets(environment)
    for name, value in environment.items():
        # What DataLad is set to, unless what is set is a secret.
        if _SETTING.match(name) and without_secrets({name[len("DATALAD_") :]: value}):
            told[name] = value
    return told


def with_login(
    environment: Mapping[str, str], login: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return `environment` for a DataLad that logs in: without the broker's secrets.

    Parameters
    ----------
    login
        DataLad's configuration of a credential, which it shall use.
    """
    told = {name: value for name, value in environment.items() if not _OURS.match(name)}
    if login:
        # By the environment, which no other user reads.
        given = json.loads(told.get(OVERRIDES) or "{}")
        told[OVERRIDES] = json.dumps(given | dict(login))
    return told


@contextmanager
def _hidden() -> Iterator[None]:
    """Have no secret in the environment for a moment."""
    told = without_login(os.environ)
    hidden = {name: value for name, value in os.environ.items() if name not in told}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _clean_git() -> None:
    """Have DataLad's runner of git and git-annex hand on no secret.

    It offers nothing to be told so, but one method that makes every environment.
    """
    from datalad.runner.gitrunner import GitRunnerBase

    adjusted = GitRunnerBase.get_git_environ_adjusted

    def cleaned(env: Mapping[str, str] | None = None) -> Any:
        told = with_login if _login_too else without_login
        return adjusted(env=told(os.environ if env is None else env))

    GitRunnerBase.get_git_environ_adjusted = staticmethod(cleaned)
