"""What a tarball holds that is to be packed again: contents, links, nothing half."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from support.folders import image

from icfqueue.archive.old_members import Contents, plain, read
from icfqueue.core.errors import BadTarball


def tar_of(*members: tuple[str, bytes, str]) -> bytes:
    """Return a tar of (name, type, name that is linked to or content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, more in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(more)
                tar.addfile(info, io.BytesIO(more.encode()))
            else:
                info.linkname = more
                tar.addfile(info)
    return out.getvalue()


REG, HARD, SOFT = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    ("name", "kind", "target", "content"),
    [
        ("p/link", SOFT, "a", "second"),
        ("p/link", SOFT, "../p/./a", "second"),
        ("p/link", SOFT, "chain", "second"),
        ("p/link", HARD, "p/a", "first"),  # what was unpacked when the link was made
        ("p/link", HARD, "./p/a", "first"),
        ("p/link", HARD, "p/later", None),
        ("p/link", SOFT, "later", "later"),
        ("p/link", SOFT, "link", None),
        ("p/link", SOFT, "/etc/passwd", None),
        ("p/link", SOFT, "../../etc/passwd", None),
        ("p/link", SOFT, "folder", None),
    ],
)
def test_a_link_has_the_content_that_unpacking_would_give_it(
    name: str, kind: bytes, target: str, content: str | None
) -> None:
    tar = tar_of(
        ("p/folder", tarfile.DIRTYPE, ""),
        ("p/a", REG, "first"),
        (name, kind, target),
        ("p/chain", SOFT, "./a"),
        ("p/a", REG, "second"),
        ("p/later", REG, "later"),
    )
    opened, olds, md5 = read(io.BytesIO(tar), name="t.tar")
    with closing(opened):
        [found] = [old for old in olds if old.name == name]
        assert found.linked
        if content is None:
            assert found.content is None
        else:
            assert found.content is not None
            assert Contents(opened).open(found.content).read().decode() == content
    assert len(md5) == 32
    assert "p/folder" not in {old.name for old in olds}


def test_what_decides_about_a_name_is_looked_at() -> None:
    """Also where the header is longer than what is read at first."""
    out = io.BytesIO()
    contents = {
        "a": image(1),
        "b": b"no image",
        "long": bytes(128) + b"DICM" + bytes(300_000),
    }
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    opened, olds, _ = read(io.BytesIO(out.getvalue()), name="t.tar")
    with closing(opened):
        look = Contents(opened).look
        found = [look(old.name, old.content, hashed=False) for old in olds if old.content]
        assert [(one.name, one.dicom, one.md5) for one in found] == [
            ("a", True, ""),
            ("b", False, ""),
            ("long", True, ""),
        ]
        assert olds[1].content is not None
        hashed = look("b", olds[1].content, hashed=True)
        assert hashed.md5 == "706bebc78ad992a07e4c1ce0f39def81"


def test_what_is_cut_is_refused() -> None:
    with pytest.raises(BadTarball, match=r"t\.tar is cut"):
        read(io.BytesIO(tar_of(("p/a", REG, "first"))[:700]), name="t.tar")


def test_a_compressed_one_is_unpacked_once_into_the_work_folder(tmp_path: Path) -> None:
    content = tar_of(("p/a", REG, "first"))
    for name, written, packed in (
        ("plain", content, False),
        ("packed", gzip.compress(content), True),
    ):
        (tmp_path / name).write_bytes(written)
        scratch = tmp_path / f"scratch-{name}"
        scratch.mkdir()
        with (
            (tmp_path / name).open("rb", buffering=0) as source,
            plain(source, scratch, name="t.tar") as (tar, was_packed),
        ):
            assert tar.read() == content
            assert was_packed is packed
            assert len([*scratch.iterdir()]) == packed
