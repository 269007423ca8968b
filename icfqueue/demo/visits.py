"""Visits made of the real DICOM files that pydicom ships.

Made for ``icfqueue demo``, the tests and the benchmarks: the tarballs look like an
ICF's (uncompressed, members below ``<project>_<visit>/``) and are the same bytes on
every machine.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from icfqueue.core.visit import Visit

SERIES_OF_DEMO = ("MR1", "MR2", "MR700")
"""Series of the study that pydicom ships below ``dicomdirtests/98892003``."""

NEWEST = 1_374_063_300
"""Modification time of every member, seconds since 1970."""


def shipped(folder: str = "") -> list[Path]:
    """Return the files below `folder` of pydicom's test files, sorted."""
    import pydicom.data

    root = Path(pydicom.data.__file__).parent / "test_files" / folder
    return sorted(path for path in root.rglob("*") if path.is_file())


def write_tar(
    path: Path, members: Iterable[tuple[str, bytes]], *, mtime: int = NEWEST
) -> None:
    """Write an uncompressed tar of `members` (name, content), in this order."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = mtime
            tar.addfile(info, io.BytesIO(content))


def members_of_visit(visit: Visit, files: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield `files` as members of the visit's tarball, by series folder."""
    top = f"{visit.project}_{visit.id}"
    for file in files:
        yield f"{top}/{file.parent.name}/{file.name}.dcm", file.read_bytes()


def build_project(root: Path, project: str, visits: int = 4) -> list[Visit]:
    """Make `visits` tarballs, each with its MD5 beside it, in ``<root>/<project>``.

    The visits differ in which of the shipped MR series they hold.
    """
    folder = root / project
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(1, visits + 1):
        visit = Visit(project, f"visit_{number:02d}")
        series = SERIES_OF_DEMO[: 1 + number % len(SERIES_OF_DEMO)]
        files = [
            file for name in series for file in shipped(f"dicomdirtests/98892003/{name}")
        ]
        # A text file, as archives have them: not DICOM, so not in the dataset.
        note = (f"{visit.project}_{visit.id}/README.txt", f"{visit.id}\n".encode())
        path = folder / visit.tarball
        write_tar(path, [note, *members_of_visit(visit, files)])
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        (folder / visit.md5sum).write_text(f"{md5}  {visit.tarball}\n")
        made.append(visit)
    return made
