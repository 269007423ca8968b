"""Commands that mend a tarball do so when they are pasted in its folder."""

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

from icfqueue.tarball.remedies import COMPRESSED, RETRY, look_at, repack, unpack

NAME = "it's v 1_dicom.tar"


def paste(remedy: str, folder: Path) -> None:
    """Type what stands in backticks into a shell."""
    (line,) = re.findall("`([^`]+)`", remedy)
    subprocess.run(["bash", "-ec", line], cwd=folder, check=True, timeout=20)


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_compressed_tarball_is_unpacked_under_its_own_name(
    tmp_path: Path, module: object
) -> None:
    packed = module.compress(b"a tar")  # type: ignore[attr-defined]  # all three have it
    (tmp_path / NAME).write_bytes(packed)
    (how,) = [how for magic, how in COMPRESSED.items() if packed.startswith(magic)]
    remedy = unpack(NAME, *how[1:])
    assert remedy.endswith(RETRY)
    paste(remedy, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"a tar"


def test_what_is_packed_again_has_plain_names_and_no_links(tmp_path: Path) -> None:
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
    (tmp_path / NAME).write_bytes(made)
    paste(repack(NAME, options="--ignore-zeros"), tmp_path)
    with tarfile.open(tmp_path / NAME) as tar:
        found = {member.name: (member.isfile(), member.size) for member in tar}
    assert list(found) == ["a 1", "a 1.1", "a 1.2", "b/2", "b/2.1", "b/2.2"]
    assert all(plain and size for plain, size in found.values())
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_file_that_is_no_tar_is_looked_at() -> None:
    assert look_at("v_dicom.tar") == (
        "look at it with `file v_dicom.tar`, obtain it again, then 'icfqueue retry "
        "PROJECT VISIT'"
    )
