"""Whether a file is still the one that was read."""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from pathlib import Path

import pytest
from support.guards import CountingGuard, MindingGuard

from icfqueue.core.errors import Cancelled
from icfqueue.store import fingerprint
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint, md5_of


def test_a_replaced_tarball_of_the_same_size_and_age_has_another_fingerprint(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    before = Fingerprint.of(path.stat())
    assert before is not None
    other = tmp_path / "y"
    other.write_text("two")
    os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
    other.replace(path)
    after = Fingerprint.of(path.stat())
    assert after is not None
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before


def test_a_file_that_is_read_and_left_alone_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("one")
    before = Fingerprint.of(path.stat())
    path.read_text()
    assert Fingerprint.of(path.stat()) == before


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    assert Fingerprint.of(None) is None
    assert Store(tmp_path).fingerprint(tmp_path / "gone") is None


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 7])
def test_the_md5_is_that_of_all_bytes_and_every_byte_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Read in pieces, however many there are."""
    monkeypatch.setattr(fingerprint, "_CHUNK", 1 << 18)
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    guard = CountingGuard()
    with FileIO(tmp_path / "x") as file:
        assert md5_of(file, guard) == hashlib.md5(content).hexdigest()
    assert guard.bytes == size
    assert guard.calls == -(-size // (1 << 18))


def test_the_reading_can_be_called_off(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with FileIO(tmp_path / "x") as file, pytest.raises(Cancelled):
        md5_of(file, MindingGuard(0))
