"""Places that settings come from; :mod:`icfqueue.core.settings` checks what is found."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from icfqueue.core.errors import UsageError

CONFIG_FILE = "icfqueue.toml"
CONFIG_VARIABLE = "ICFQUEUE_CONFIG"


SECRETS = (
    "ICFQUEUE_BROKER_URL",
    "ICFQUEUE_BROKER",
    "ICFQUEUE_BROKER_PASSWORD",
    "ICFQUEUE_NOTIFY",
)
"""Variables that hold the broker's password, or another secret, or may."""

_kept: dict[str, str] = {}
"""Those that :func:`keep_secrets` took out of the environment."""

OPEN = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
"""Rights to a file by which a password in it is no secret, or could be another's."""

_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")
"""A password in an address (RFC 3986, section 3.2.1)."""


def config_files() -> list[Path]:
    """Return the settings files that exist, the more important one first.

    Raises
    ------
    UsageError
        ``ICFQUEUE_CONFIG`` names a file that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_file():
        raise UsageError(f"{CONFIG_VARIABLE} names {named}, which is no file")
    first = Path(named) if named else Path(CONFIG_FILE)
    user = platformdirs.user_config_path("icfqueue") / CONFIG_FILE
    return [path for path in (first, user) if path.is_file()]


def of_file(path: Path) -> dict[str, Any]:
    """Return what a settings file sets.

    Raises
    ------
    UsageError
        It cannot be read; or it holds a password, and others than its owner and group can
        read it, or others than its owner can change it.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        # A parser's message tells line and column, not what stands there.
        raise UsageError(f"{path} cannot be read: {error}") from None
    if "broker" in found:
        # As the option is called.
        found["broker_url"] = found.pop("broker")
    if mode & OPEN and _has_secret(found):
        raise UsageError(
            f"{path} holds a password, and others can {_can(mode)} it "
            f"(mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )
    return found


def _has_secret(found: Mapping[str, Any]) -> bool:
    """Tell whether there is a password among what a file sets."""
    address = found.get("broker_url")
    in_address = isinstance(address, str) and _LOGIN.search(address) is not None
    # Who knows the address of a hook may send messages there.
    secrets = (found.get(name) for name in ("broker_password", "notify"))
    return in_address or any(isinstance(one, str) and one != "" for one in secrets)


def _can(mode: int) -> str:
    return "read" if mode & stat.S_IROTH else "change"


_AS_JSON = {"stall": "'{\"fetch\": 600}'", "identifier_patterns": "'[\"PAT[0-9]{6}\"]'"}
"""Settings that are no plain value: in the environment they are JSON, as here."""


def of_environment(names: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """Return what ``ICFQUEUE_…`` variables set, each with the variable's name.

    An empty one sets nothing.

    Parameters
    ----------
    names
        All settings.
    """
    found: dict[str, tuple[str, Any]] = {}
    known = {f"ICFQUEUE_{name.upper()}": name for name in names}
    # As the option and the settings file call it.
    known |= {"ICFQUEUE_BROKER": "broker_url"}
    for variable, name in known.items():
        if text := os.environ.get(variable) or _kept.get(variable):
            found.setdefault(name, (variable, text))
    for variable in os.environ:
        if variable.startswith("ICFQUEUE_") and variable not in known:
            _check_no_typo(variable, known)
    for name in _AS_JSON.keys() & found.keys():
        variable, text = found[name]
        try:
            found[name] = variable, msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise UsageError(
                f"setting {name}: {variable} is no JSON",
                hint=f"for example {variable}={_AS_JSON[name]}",
            ) from None
    return found


def _check_no_typo(variable: str, known: Iterable[str]) -> None:
    """Raise if `variable` is nearly a setting; others of ours are none of them."""
    if near := difflib.get_close_matches(variable, known, 1, 0.9):
        raise UsageError(
            f"the environment has {variable}, which is no setting",
            hint=f"did you mean {near[0]}?",
        )


def keep_secrets() -> None:
    """Take the broker's password out of this process' environment; :func:`load` knows it.

    What this process starts from now on, DataLad and its ``git`` among it, is not told.
    Our own processes are, by :mod:`icfqueue.operations.worker_process`.
    """
    for variable in SECRETS:
        if text := os.environ.pop(variable, None):
            _kept[variable] = text
