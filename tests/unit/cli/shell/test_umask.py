"""The warning about a umask that works against a store which a group shares."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = (
    "import sys; from pathlib import Path; "
    "from icfqueue.cli.shell.umask import warn_of_umask; "
    "warn_of_umask(Path(sys.argv[1]))"
)


@pytest.mark.parametrize(("umask", "warns"), [(0o022, True), (0o002, False)])
def test_a_process_with_such_a_umask_says_so(
    tmp_path: Path, umask: int, warns: bool
) -> None:
    tmp_path.chmod(0o2775)
    before = os.umask(umask)
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.umask(before)
    assert done.stdout == ""
    if warns:
        assert f"may write in {tmp_path}, but the umask 022 takes" in done.stderr
        assert done.stderr.endswith("rights from it: write\n  umask 002\n")
    else:
        assert done.stderr == ""
