"""What to do about a tarball: commands for the folder in which it lies.

PROJECT and VISIT are filled in by :func:`icfqueue.core.plain_text.for_visit`.
"""

from __future__ import annotations

import shlex

RETRY = "then 'icfqueue retry PROJECT VISIT'"

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


def unpack(name: str, suffix: str, command: str) -> str:
    """Return what makes a compressed file called `name` the plain tar of that name."""
    tar, packed = shlex.quote(name), shlex.quote(f"{name}.{suffix}")
    return f"in its folder: `mv {tar} {packed} && {command} {packed}`, {RETRY}"


def repack(name: str, *, options: str = "") -> str:
    r"""Return what packs the files of the tar called `name` again: plain names, no links.

    Parameters
    ----------
    options
        Of the tar that unpacks it.
    """
    tar, more = shlex.quote(name), f" {options}" if options else ""
    return (
        f"pack it again, in its folder: `mkdir unpacked && tar -C unpacked{more} -xf {tar} "
        "&& find unpacked ! -type d -printf '%P\\n' | sort | tar -C unpacked -h "
        f"--hard-dereference -cf {tar} -T - && rm -r unpacked`, {RETRY}"
    )


def look_at(name: str) -> str:
    """Return how to see what a file is that is no tar."""
    return f"look at it with `file {shlex.quote(name)}`, obtain it again, {RETRY}"
