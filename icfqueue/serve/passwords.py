"""Who may enter: a password file as Apache and nginx have it.

A line is ``<user>:<hash>``, as ``htpasswd -B`` writes it. Only bcrypt is read: the other
kinds of such files (MD5, SHA-1, crypt) can be guessed too quickly, or are plain.

Source: https://httpd.apache.org/docs/2.4/misc/password_encryptions.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shlex
import threading
from pathlib import Path
from typing import Any

from icfqueue.core.errors import UsageError

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")

_MADE = "`htpasswd -B {} USER` adds one (Debian: apache2-utils)"

_AT_ONCE = 2
"""Passwords that are compared at once: each takes a core for a while."""

_REMEMBERED = 1000
"""Right log-ins that are not computed again; each request brings its own."""


class PasswordFile:
    """The users of a password file; read again when it has changed.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    UsageError
        It cannot be read, has no user, or a hash of another kind; or bcrypt is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bcrypt: Any = _library()
        self._secret = secrets.token_bytes(32)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        # Compared where there is no such user, so that this takes as long.
        self._nobody: bytes = self._bcrypt.hashpw(b"nobody", self._bcrypt.gensalt(10))
        self._look: tuple[int, ...] = ()
        self._users: dict[str, bytes] = {}
        self._right: set[bytes] = set()
        self._refresh()

    def opens(self, user: str, password: str) -> bool:
        """Tell whether `user` has this password."""
        with self._lock:
            try:
                self._refresh()
            except UsageError:
                # It is being written, or is gone: nobody enters.
                return False
            wanted = self._users.get(user, self._nobody)
            known = hmac.digest(
                self._secret, f"{user}\0{password}".encode() + wanted, hashlib.sha256
            )
            if known in self._right:
                return True
        with self._slots:
            right = self._compare(password, wanted) and user in self._users
        if right:
            with self._lock:
                if len(self._right) >= _REMEMBERED:
                    self._right.clear()
                self._right.add(known)
        return right

    def _compare(self, password: str, wanted: bytes) -> bool:
        try:
            return bool(self._bcrypt.checkpw(password.encode(), wanted))
        except ValueError:  # longer than bcrypt can tell apart
            return False

    def _refresh(self) -> None:
        try:
            found = self.path.stat()
            look = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if look == self._look:
                return
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise UsageError(
                f"the password file {self.path} cannot be read: {what}",
                hint=_MADE.format(f"-c {shlex.quote(str(self.path))}"),
            ) from None
        self._users = dict(
            self._user(number, line)
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("#")
        )
        self._right.clear()
        self._look = look
        if not self._users:
            self._look = ()
            raise UsageError(f"{self.path} names no user", hint=self._remedy())

    def _remedy(self) -> str:
        return _MADE.format(shlex.quote(str(self.path)))

    def _user(self, number: int, line: str) -> tuple[str, bytes]:
        user, _, hashed = line.strip().partition(":")
        if not user or not _BCRYPT.fullmatch(hashed):
            raise UsageError(
                f"line {number} of {self.path} is no user with a bcrypt hash",
                hint=f"remove the line; {self._remedy()}",
            )
        return user, hashed.encode()


def _library() -> Any:
    try:
        import bcrypt
    except ImportError:
        raise UsageError(
            "password files need the package bcrypt", hint="pip install bcrypt"
        ) from None
    return bcrypt
