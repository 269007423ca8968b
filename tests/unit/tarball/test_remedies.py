"""Commands that mend a tarball do so when they are pasted, in whatever folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from icfqueue.core.plain_text import for_store, for_visit
from icfqueue.core.visit import Visit
from icfqueue.tarball.remedies import (
    COMPRESSED,
    LOOK_AT,
    LOOK_INSIDE,
    RETRY,
    packed_as,
    repack,
    unpack,
)

VISIT = Visit("study_1", "v-1")
NAME = VISIT.tarball


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's folder, in a store directory that has to be quoted."""
    made = tmp_path / "it's my store" / VISIT.project
    made.mkdir(parents=True)
    return made


def paste(remedy: str, folder: Path) -> str:
    """Type what stands in backticks into a shell, elsewhere; return what is printed."""
    (line,) = re.findall("`([^`]+)`", remedy)
    filled = for_store(for_visit(line, VISIT.project, VISIT.id), folder.parent)
    done = subprocess.run(
        ["bash", "-ec", filled],
        cwd="/",
        check=True,
        timeout=20,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_compressed_tarball_is_unpacked_under_its_own_name(
    folder: Path, module: object
) -> None:
    packed = module.compress(b"a tar")  # type: ignore[attr-defined]  # all three have it
    (folder / NAME).write_bytes(packed)
    (how,) = [how for magic, how in COMPRESSED.items() if packed.startswith(magic)]
    remedy = unpack(*how[1:])
    assert remedy.endswith(RETRY)
    paste(remedy, folder)
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert (folder / NAME).read_bytes() == b"a tar"


def test_what_is_packed_again_has_plain_names_and_no_links(folder: Path) -> None:
    """Of two tars in a row all is taken, in the order of names."""
    made = b""
    for name in ("./b/2", "./a 1"):
        buffer = BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, BytesIO(name.encode()))
            for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                link = tarfile.TarInfo(f"{name}.{kind.decode()}")
                link.type = kind
                link.linkname = name if kind == tarfile.LNKTYPE else Path(name).name
                tar.addfile(link)
        made += buffer.getvalue()
    (folder / NAME).write_bytes(made)
    paste(repack("--ignore-zeros"), folder)
    with tarfile.open(folder / NAME) as tar:
        found = {member.name: (member.isfile(), member.size) for member in tar}
    assert list(found) == ["a 1", "a 1.1", "a 1.2", "b/2", "b/2.1", "b/2.2"]
    assert all(plain and size for plain, size in found.values())
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_tarball_is_looked_into_and_at(folder: Path) -> None:
    with tarfile.open(folder / NAME, "w") as tar:
        tar.addfile(tarfile.TarInfo("notes.txt"))
    assert paste(LOOK_INSIDE, folder).endswith("notes.txt\n")
    look = LOOK_AT.removesuffix(f", obtain it again, {RETRY}")
    # `file` need not be installed where the tests run.
    assert str(folder / NAME).replace("it's", "") in (
        paste(look.replace("`file ", "`printf %s "), folder).replace("it's", "")
    )


@pytest.mark.parametrize(
    ("start", "method", "words"),
    [
        (b"\x1f\x8b...", "gzip", "gunzip"),
        (b"PK\x03\x04..", "zip", "unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip", "unpack it"),
        (b"hello", "", ""),
        (b"", "", ""),
    ],
)
def test_a_packed_file_is_told_by_its_first_bytes(
    start: bytes, method: str, words: str
) -> None:
    found, hint = packed_as(start)
    assert found == method
    assert (words in hint) is bool(hint or not words)
