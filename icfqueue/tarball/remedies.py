"""What to do about a tarball: commands that can be pasted, wherever one is.

PROJECT and VISIT are filled in by :func:`icfqueue.core.plain_text.for_visit`, STORE by
:func:`icfqueue.core.plain_text.for_store` where it is printed.
"""

from __future__ import annotations

RETRY = "then 'icfqueue retry PROJECT VISIT'"

FOLDER = "STORE/PROJECT"
"""Where the tarball lies."""

NAME = "VISIT_dicom.tar"
"""What it is called there."""

TARBALL = f"{FOLDER}/{NAME}"

DOWNLOAD = (
    "it was read as it came from the store, and is not here: "
    "'icfqueue run PROJECT VISIT --no-stream --force' downloads it and says what to do"
)
"""How to have a tarball to which something can be done."""

MEND = f"'icfqueue repack PROJECT VISIT --replace' packs it again, {RETRY}"
"""What gives each member a name and a content of its own; the old tarball is kept."""

COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gz", "gunzip"),
    b"BZh": ("bzip2", "bz2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zst", "unzstd --rm"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4", "unlz4 --rm"),
    b"\x1f\x9d": ("compress", "Z", "uncompress"),
}
"""First bytes of a compressed file to the method, the suffix by which its program knows
it, and the command that undoes it."""

ARCHIVES = {b"PK\x03\x04": "zip", b"7z\xbc\xaf\x27\x1c": "7-Zip"}
"""First bytes of archives of another kind."""


def packed_as(start: bytes) -> tuple[str, str]:
    """Return how a file is packed, by its first bytes, and what to do.

    Both are empty if it is not packed in a way that is known.
    """
    for magic, (method, suffix, command) in COMPRESSED.items():
        if start.startswith(magic):
            return method, unpack(suffix, command)
    for magic, method in ARCHIVES.items():
        if start.startswith(magic):
            return method, f"unpack it, pack its files as one plain tar, {RETRY}"
    return "", ""


LOOK_INSIDE = f"look at its members with `tar -tvf {TARBALL}`"
"""How to see what is in a tarball."""

LOOK_AT = f"look at it with `file {TARBALL}`, obtain it again, {RETRY}"
"""How to see what a file is that is no tar."""


def unpack(suffix: str, command: str) -> str:
    """Return what makes a compressed file the plain tar of its name."""
    packed = f"{TARBALL}.{suffix}"
    return f"`mv {TARBALL} {packed} && {command} {packed}`, {RETRY}"


def repack(options: str = "") -> str:
    r"""Return what packs the files of the tar again: plain names, no links.

    In a shell of its own, so that who pastes it stays in the folder where he is.

    Parameters
    ----------
    options
        Of the tar that unpacks it.
    """
    more = f" {options}" if options else ""
    return (
        f"pack it again: `(cd {FOLDER} && mkdir unpacked && tar -C unpacked{more} "
        f"-xf {NAME} && find unpacked ! -type d -printf '%P\\n' | sort | tar -C unpacked "
        f"-h --hard-dereference -cf {NAME} -T - && rm -r unpacked)`, {RETRY}"
    )
