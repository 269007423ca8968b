"""What is measured: two real visits where they are at hand, and generated ones.

All lie in ``benchmarks/inputs/`` (ignored by git) and are made once. Generated visits
are made of the files that pydicom ships, varied a little so that every MD5 differs. The
functional one has headers as long and as varied as those of the real one; their elements
are from pydicom's dictionaries, their values are invented.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import longheaders

HERE = Path(__file__).parent / "inputs"

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
"""The real visits, where the institute's test data are laid beside the checkout."""

SHAPES = {"structural": (384, 212_000), "functional": (5_460, 21_000)}
"""Members and bytes of each of the real visits; generated stand-ins have the same."""

GENERATOR = 2
"""In the names of generated tarballs: those of an older generator are not used."""

PROJECT = "study_1"
STORE_URL = "https://data.example.org"
NEWEST = 1_374_063_300


def home() -> dict[str, str]:
    """Return the variables that give git and DataLad a home of their own."""
    folder = HERE / "home"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitconfig").write_text(
            "[user]\n\tname = Bench\n\temail = bench@example.org\n"
            "[datalad]\n\tenable-telemetry = false\n"
        )
    return {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a new folder on the file system of the inputs; it is gone afterwards.

    Folders of runs that were killed go as well: the name begins with the run's pid.
    """
    work = HERE / "work"
    work.mkdir(parents=True, exist_ok=True)
    for leftover in work.iterdir():
        pid = leftover.name.partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            _remove(leftover)
    folder = Path(tempfile.mkdtemp(dir=work, prefix=f"{os.getpid()}-"))
    try:
        yield folder
    finally:
        _remove(folder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _remove(folder: Path) -> None:
    """Remove a folder in which others may still write and remove."""
    # A repository that git-annex made has read-only folders.
    for here, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(here).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def is_real(kind: str) -> bool:
    """Whether the real visit of this kind is at hand."""
    return (SHARED_DATA / f"{kind}_dicom.tar.xz").exists()


def called(kind: str) -> str:
    """Return what a tarball is called in a table: generated ones are named so."""
    return kind if is_real(kind) else f"{kind.removeprefix('generated-')} generated"


def tarball(kind: str) -> Path:
    """Return the tarball of a visit: the real one, or a generated stand-in.

    Parameters
    ----------
    kind
        ``structural`` or ``functional``; ``generated-…`` for the stand-in in any case.
    """
    shape = kind.removeprefix("generated-")
    if kind != shape or not is_real(kind):
        return _generated(shape)
    target = HERE / f"{kind}_dicom.tar"
    if not target.exists():
        packed = SHARED_DATA / f"{kind}_dicom.tar.xz"
        HERE.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        with lzma.open(packed) as source, unfinished.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        unfinished.rename(target)
    return target


def _generated(shape: str) -> Path:
    target = HERE / f"generated-{shape}-{GENERATOR}_dicom.tar"
    if not target.exists():
        HERE.mkdir(parents=True, exist_ok=True)
        for older in HERE.glob(f"generated-{shape}*_dicom.tar"):
            older.unlink(missing_ok=True)
        unfinished = target.with_suffix(".part")
        count, size = SHAPES[shape]
        long = shape == "functional"
        _write_tar(unfinished, longheaders.series(count) if long else _plain(count, size))
        unfinished.rename(target)
    return target


def _write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a tar like the real ones: each member has an extended header (PAX)."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = float(NEWEST)  # goes into the extended header
            tar.addfile(info, io.BytesIO(content))


def _plain(count: int, size: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield f"study_1_structural/{number:05d}.dcm", image(number, size)


_templates: dict[int, bytes] = {}


def image(number: int, size: int = 0) -> bytes:
    """Return a DICOM file of about `size` bytes; differs by `number` in its pixels."""
    if size not in _templates:
        _templates[size] = _template(size)
    return _templates[size][:-8] + number.to_bytes(8, "little")


def _template(size: int) -> bytes:
    import pydicom

    from icfqueue.demo.visits import shipped

    file = shipped(longheaders.SOURCE)[0]
    if not size:
        return file.read_bytes()
    found = pydicom.dcmread(file)
    found.PixelData = b""
    bare = io.BytesIO()
    found.save_as(bare)
    columns = 100
    rows = max(1, (size - len(bare.getvalue())) // (2 * columns))
    found.Rows, found.Columns, found.BitsAllocated = rows, columns, 16
    found.PixelData = bytes(2 * rows * columns)
    whole = io.BytesIO()
    found.save_as(whole)
    return whole.getvalue()


def small_visits(folder: Path, count: int, dicoms: int, size: int = 0) -> None:
    """Make `count` tarballs of `dicoms` DICOM files each in `folder`."""
    from icfqueue.demo.visits import write_tar

    folder.mkdir(parents=True)
    for visit in range(count):
        members = [
            (f"study_1_v/MR{n}/{n}.dcm", image(visit * dicoms + n, size))
            for n in range(dicoms)
        ]
        write_tar(folder / f"v{visit:06d}_dicom.tar", members)


def write_metadata(project: Path, visit: str, records: list[dict[str, Any]]) -> None:
    """Write what the steps before ``export_repo`` leave of a visit."""
    from icfqueue.core.visit import Visit
    from icfqueue.outputs import tarball_index
    from icfqueue.store.directory import Store

    project.mkdir(parents=True, exist_ok=True)
    subject = Visit(project.name, visit)
    md5 = hashlib.md5(visit.encode()).hexdigest()
    known = {"size": 1 << 20, "md5": md5}
    about = {**known, "dspath": subject.dspath, "storepath": subject.storepath}
    (project / subject.metadata_dicoms).write_text(json.dumps(records))
    (project / subject.metadata_tarball).write_text(json.dumps(about))
    offsets = json.dumps([512 + 22_016 * n for n in range(len(records))]).encode()
    note = {
        **known,
        "dicoms": len(records),
        "newest": NEWEST,
        "fingerprint": {"inode": 0, "size": 1 << 20, "mtime_ns": 0, "ctime_ns": 0},
        "settled": True,
        "listing": {"size": 0, "md5": ""},
        "offsets": tarball_index.Listing.of_bytes(offsets)._asdict(),
    }
    place = tarball_index.index_path(Store(project.parent), subject)
    place.parent.mkdir(parents=True, exist_ok=True)
    tarball_index.offsets_path(Store(project.parent), subject).write_bytes(offsets)
    place.write_text(json.dumps(note))


FOLDER = 500
"""DICOM files in a folder of a generated visit, where nothing else is said."""


def records(count: int, visit: int = 0, folder: int = FOLDER) -> list[dict[str, Any]]:
    """Return entries of a metadata file for `count` generated DICOM files."""
    return [
        {
            "path": f"study_1_v/series_{n // folder:03d}/{n:06d}.dcm",
            "md5": hashlib.md5(f"{visit} {n}".encode()).hexdigest(),
            "size": 21_000 + n % 7,
            "SeriesDescription": f"series {n // 500}",
            "SeriesNumber": n // 500,
            "Modality": "MR",
            "MRAcquisitionType": "2D",
            "ProtocolName": f"protocol {n // 500 % 7}",
            "PulseSequenceName": "",
        }
        for n in range(count)
    ]
