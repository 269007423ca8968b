"""A tar is written in pieces of any size, and hashed on the way."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from icfqueue.archive.make import reading
from icfqueue.archive.tar_writer import RECORD, Short, TarWriter
from icfqueue.tarball.stream import BUFFER


@pytest.fixture
def out() -> io.BytesIO:
    return io.BytesIO()


def write(out: io.BytesIO, folder: Path, contents: dict[str, bytes]) -> TarWriter:
    with TarWriter(lambda piece: out.write(piece) and None) as tar:
        for name, content in contents.items():
            path = folder / "content"
            path.write_bytes(content)
            file = os.open(path, os.O_RDONLY)
            tar.add(name, 7, len(content), reading(file))
            os.close(file)
        tar.finish()
    return tar


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [1, 511, 512, 513],
        # Ends of buffers within a content, its padding, a header and the end mark.
        [BUFFER - 512],
        [BUFFER - 513, 0],
        [BUFFER - 1024, 1],
        [BUFFER - 1536, 0, 3],
        [3 * BUFFER + 100, 5],
        [BUFFER - 512 - RECORD + 1024],
    ],
)
def test_tarfile_reads_what_was_put_in(
    out: io.BytesIO, tmp_path: Path, sizes: list[int]
) -> None:
    contents = {f"m{n}": os.urandom(size) for n, size in enumerate(sizes)}
    tar = write(out, tmp_path, contents)
    content = out.getvalue()
    assert tar.size == len(content)
    assert len(content) % RECORD == 0
    assert tar.md5 == hashlib.md5(content).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(content)) as found:
        members = found.getmembers()
        assert {m.name: found.extractfile(m).read() for m in members} == contents  # type: ignore[union-attr]  # all are files
        for member in members:
            assert (member.uid, member.gid, member.uname, member.gname) == (
                0,
                0,
                "root",
                "root",
            )
            assert (member.mode, member.mtime) == (0o644, 7)


def test_a_content_that_ends_early_is_told(out: io.BytesIO, tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"ab")
    file = os.open(path, os.O_RDONLY)
    with pytest.raises(Short), TarWriter(lambda piece: out.write(piece) and None) as tar:
        tar.add("short", 0, 3, reading(file))
    os.close(file)
