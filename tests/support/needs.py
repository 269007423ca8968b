"""What a test needs of the machine.

A program can be installed: where CI=true, a missing one is a failure. What the kernel, or
who runs the tests, does not allow nothing can install: then a test says so and is skipped.
"""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str, package: str) -> str:
    """Return the path of a program; without it skip the test, or fail where CI=true."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        reason = f"no {name} is installed (Debian: {package})"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def allowed(yes: bool, what: str) -> None:
    """Skip the test if the kernel, or this user's rights, do not allow `what`."""
    if not yes:
        pytest.skip(f"this machine allows no {what}")
