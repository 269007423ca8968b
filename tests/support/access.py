"""The users of the broker in ``ops/valkey/users.acl``, each with a password."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "ops" / "valkey" / "users.acl"
PASSWORD = "hunter2"
USERS = ("worker", "producer", "reader", "monitor")


def site_file(folder: Path) -> Path:
    """Write the file as a site does: whoever does not log in may do nothing."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    path = folder / "users.conf"
    path.write_text(FILE.read_text().replace("PASSWORD-AS-SHA256", digest))
    return path


def acl_file(folder: Path) -> Path:
    """Write the file as a site does, but for a user ``default`` who may do everything.

    To be read with the server's settings (``include``).
    """
    path = site_file(folder)
    text, count = re.subn(
        "(?m)^user default .*$", "user default on nopass ~* &* +@all", path.read_text()
    )
    assert count == 1
    path.write_text(text)
    return path


def granted(user: str) -> set[str]:
    """Return the commands that a user may run, as ``INFO commandstats`` calls them."""
    (line,) = re.findall(rf"(?m)^user icfqueue-{user} .*$", FILE.read_text())
    return set(re.findall(r" \+(\S+)", line))
