"""The manual pages: one for each command, which troff prints without a complaint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from icfqueue.cli.group import COMMANDS

SCRIPT = Path(__file__).parents[2] / "docs" / "_ext" / "manual_pages.py"


def write(folder: Path) -> dict[str, bytes]:
    subprocess.run(
        [sys.executable, SCRIPT, folder],
        env={"SOURCE_DATE_EPOCH": "86400"},
        check=True,
        timeout=60,
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_command_has_a_page_that_is_the_same_each_time(tmp_path: Path) -> None:
    made = write(tmp_path / "1")
    assert set(made) == {"icfqueue.1", *(f"icfqueue-{name}.1" for name in COMMANDS)}
    assert write(tmp_path / "2") == made
    for name, page in made.items():
        text = page.decode()
        assert text.startswith(f'.TH {name[:-2].upper()} 1 1970-01-02 "icfqueue ')
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"):
            assert f"\n.SH {section}\n" in text
        # Nothing begins a request but what is to.
        requests = {line[:3] for line in text.splitlines() if line[:1] in {".", "'"}}
        assert requests <= {".TH", ".SH", ".PP", ".TP", ".nf", ".fi"}
    assert b"\nicfqueue \\- Turn" in made["icfqueue.1"]
    assert b"\\-\\-remove\\-tarball" in made["icfqueue-run.1"]
    assert b".SH EXAMPLES" in made["icfqueue-run.1"]
