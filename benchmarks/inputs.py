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
import random
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

HERE = Path(__file__).parent / "inputs"

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
"""The real visits, where the institute's test data are laid beside the checkout."""

SHAPES = {"structural": (384, 212_000), "functional": (5_460, 21_000)}
"""Members and bytes of each of the real visits; generated stand-ins have the same."""

GENERATOR = 2
"""In the names of generated tarballs: those of an older generator are not used."""

SOURCE = "dicomdirtests/98892003/MR1"
"""Small MR files among those that pydicom ships."""

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
        _write_tar(unfinished, _functional() if shape == "functional" else _structural())
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


def _structural() -> Iterator[tuple[str, bytes]]:
    count, size = SHAPES["structural"]
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

    from icfqueue.demo.project import shipped

    file = shipped(SOURCE)[0]
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


# The functional stand-in

SEED = 20130717
SLICES = 35
"""Images of one volume: files with the same time and at different places."""

SIDE_OF_IMAGE = 80
"""Pixels, of two bytes each."""

UID_ROOT = "1.2.826.0.1.3680043.8.498"
"""pydicom's own."""

STANDARD = {8: 34, 0x10: 13, 0x18: 45, 0x20: 15, 0x28: 12, 0x32: 5, 0x38: 2, 0x40: 31}
"""Elements of each standard group, sequences included, as in the real files."""

PRIVATE = (
    (0x2001, "Philips Imaging DD 001", 70),
    (0x2005, "Philips MR Imaging DD 001", 84),
    (0x2005, "Philips MR Imaging DD 002", 10),
    (0x2005, "Philips MR Imaging DD 004", 30),
    (0x2005, "Philips MR Imaging DD 005", 40),
)
"""Group, creator and elements of each private block, about as in the real files."""

NESTED = (
    (0x0008_1111, 1, 0x0008_0012, 9),
    (0x0008_1140, 3, 0x0008_1150, 2),
    (0x0040_0260, 1, 0x0008_0100, 4),
    (0x0040_9096, 1, 0x0040_9000, 4),
    (0x2001_105F, 1, 0x0018_9300, 22),
    (0x2005_130F, 1, 0x0018_9004, 95),
)
"""Tag of each sequence, its items, and the first tag and elements of each of them."""

VALUES: dict[str, Callable[[random.Random], Any]] = {
    "AE": lambda _: "SCANNER",
    "AS": lambda _: "030Y",
    "CS": lambda rng: rng.choice(("N", "NO", "YES", "NONE", "UNKNOWN", "IMAGE", "")),
    "DA": lambda _: "20130717",
    "DS": lambda rng: f"{rng.uniform(10, 99):.3f}",
    "DT": lambda _: "20130717",
    "FD": lambda rng: rng.uniform(0, 99),
    "FL": lambda rng: rng.uniform(0, 99),
    "IS": lambda rng: str(rng.randrange(999)),
    "LO": lambda rng: rng.choice(("", "", "", "generated text")),
    "LT": lambda _: "",
    "PN": lambda _: "",
    "SH": lambda rng: rng.choice(("", "", "generated")),
    "SL": lambda rng: rng.randrange(9999),
    "SS": lambda rng: rng.randrange(999),
    "ST": lambda _: "",
    "TM": lambda _: "101530",
    "UI": lambda rng: f"{UID_ROOT}.{rng.randrange(9)}",
    "UL": lambda rng: rng.randrange(9999),
    "US": lambda rng: rng.randrange(999),
}
"""An invented value for each VR that the real headers have; about a sixth is empty."""


def _functional() -> Iterator[tuple[str, bytes]]:
    """Yield one run in one folder, in the order of names, which is not that of images."""
    rng = random.Random(SEED)
    count = SHAPES["functional"][0]
    pixels = 2 * SIDE_OF_IMAGE**2
    pieces, meta = _pieces(_long_header(rng))
    noise = rng.randbytes(pixels + 2 * count)
    order = list(range(count))
    rng.shuffle(order)
    for place, number in enumerate(order):
        parts = [pieces[0]]
        for field, piece in zip(_varying(number, meta), pieces[1:], strict=True):
            parts += [_element(*field), piece]
        parts += [_HEAD_OF_PIXELS, noise[2 * number : 2 * number + pixels]]
        name = f"study_1_functional/MR.{UID_ROOT}.{10**24 + place}"
        yield name, b"".join(parts)


_HEAD_OF_PIXELS = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", 2 * SIDE_OF_IMAGE**2)


def _varying(number: int, meta: int = 0) -> list[tuple[int, str, str | int]]:
    """Return tag, VR and value of what differs from file to file, in order of tags.

    Parameters
    ----------
    meta
        Bytes of the meta elements, without the UID of the file.
    """
    volume, place = divmod(number, SLICES)
    seconds = 2 * volume
    uid = f"{UID_ROOT}.{10**32 + SEED}.{number}"
    taken = f"10{15 + seconds // 60}{seconds % 60:02}.5"
    return [
        (0x0002_0000, "UL", meta + len(uid) + len(uid) % 2),
        (0x0002_0003, "UI", uid),
        (0x0008_0013, "TM", f"{taken}{place:02}"),
        (0x0008_0018, "UI", uid),
        (0x0008_0032, "TM", taken),
        (0x0018_1060, "DS", str(seconds * 1000)),
        (0x0020_0013, "IS", str(number + 1)),
        (0x0020_0032, "DS", f"-118.25\\-{112 - place / 4:.11f}\\{3.3 * place - 40:.12f}"),
        (0x0020_0100, "IS", str(volume + 1)),
        (0x0028_1050, "DS", f"{700 + number % 300 * 1.5:g}"),
        (0x0028_1051, "DS", f"{1300 + number % 500 * 2.5:g}"),
    ]


def _element(tag: int, vr: str, value: str | int) -> bytes:
    """Return an element as it stands in a file: explicit VR, little endian."""
    if isinstance(value, int):
        raw = value.to_bytes(4, "little")
    else:
        raw = value.encode()
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(raw)) + raw


def _pieces(header: bytes) -> tuple[list[bytes], int]:
    """Cut the header of number 0 at the elements that vary, and leave these out.

    Returns
    -------
    pieces, meta
        What stands before, between and after; what :func:`_varying` takes as `meta`.
    """
    pieces = []
    (meta,) = struct.unpack_from("<I", header, 140)
    meta -= _varying(0)[0][2]
    for field in _varying(0, meta):
        before, found, header = header.partition(_element(*field))
        assert found, field
        pieces.append(before)
    return [*pieces, header], meta


def _long_header(rng: random.Random) -> bytes:
    """Return what stands before the pixels of number 0: more than 500 elements."""
    import pydicom

    from icfqueue.demo.project import shipped

    made = pydicom.dcmread(shipped(SOURCE)[0], stop_before_pixels=True)
    for group, count in STANDARD.items():
        _fill(made, rng, group << 16, count - len(made.group_dataset(group)))
    for group, creator, count in PRIVATE:
        _fill_private(made, rng, group, creator, count)
    _nest(made, rng)
    made.SeriesDescription, made.ProtocolName = "BOLD run generated", "BOLD generated"
    made.MRAcquisitionType = "2D"
    made.Rows = made.Columns = SIDE_OF_IMAGE
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    for tag, vr, value in _varying(0)[2:]:
        made.add_new(tag, vr, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    out = io.BytesIO()
    made.save_as(out)
    return out.getvalue()


def _fill(dataset: Dataset, rng: random.Random, first: int, count: int) -> None:
    """Add elements of the standard's dictionary, from tag `first` on, in its group."""
    from pydicom.datadict import dictionary_is_retired, dictionary_VR, keyword_dict

    group = range(first, (first | 0xFFFF) + 1)
    for tag in sorted(keyword_dict.values()):
        if count <= 0 or tag not in group or tag in dataset or dictionary_is_retired(tag):
            continue
        if (vr := dictionary_VR(tag)) in VALUES:
            dataset.add_new(tag, vr, VALUES[vr](rng))
            count -= 1


def _fill_private(
    dataset: Dataset, rng: random.Random, group: int, creator: str, count: int
) -> None:
    """Add a private block with elements of pydicom's dictionary of this creator."""
    from pydicom.datadict import private_dictionary_VR

    block = dataset.private_block(group, creator, create=True)
    for offset in range(0x100):
        with suppress(KeyError):
            vr = private_dictionary_VR((group, 0x1000 + offset), creator)
            if count > 0 and vr in VALUES:
                block.add_new(offset, vr, VALUES[vr](rng))
                count -= 1


def _nest(dataset: Dataset, rng: random.Random) -> None:
    """Add sequences, one of them with another one in it.

    They are of undefined length and their items of defined length, as in the real files.
    """
    from pydicom import Dataset

    def add(outer: Dataset, tag: int, count: int, first: int, elements: int) -> None:
        items = [Dataset() for _ in range(count)]
        for item in items:
            _fill(item, rng, first, elements)
        outer.add_new(tag, "SQ", items)
        outer[tag].is_undefined_length = True

    for about in NESTED:
        add(dataset, *about)
    add(dataset[NESTED[-1][0]].value[0], 0x0018_9176, 3, 0x0018_9177, 2)


def small_visits(folder: Path, count: int, dicoms: int, size: int = 0) -> None:
    """Make `count` tarballs of `dicoms` DICOM files each in `folder`."""
    from icfqueue.demo.project import write_tar

    folder.mkdir(parents=True)
    for visit in range(count):
        members = [
            (f"study_1_v/MR{n}/{n}.dcm", image(visit * dicoms + n, size))
            for n in range(dicoms)
        ]
        write_tar(folder / f"v{visit:06d}_dicom.tar", members)


def write_metadata(project: Path, visit: str, records: list[dict[str, Any]]) -> None:
    """Write what the steps before ``export_repo`` leave of a visit."""
    from icfqueue import index
    from icfqueue.store import Store
    from icfqueue.visit import Visit

    project.mkdir(parents=True, exist_ok=True)
    subject = Visit(project.name, visit)
    md5 = hashlib.md5(visit.encode()).hexdigest()
    known = {"size": 1 << 20, "md5": md5}
    about = {**known, "dspath": subject.dspath, "storepath": subject.storepath}
    (project / subject.metadata_dicoms).write_text(json.dumps(records))
    (project / subject.metadata_tarball).write_text(json.dumps(about))
    note = {
        **known,
        "dicoms": len(records),
        "newest": NEWEST,
        "fingerprint": {"size": 1 << 20, "mtime_ns": 0, "ctime_ns": 0},
        "listing": {"size": 0, "md5": ""},
    }
    place = index.index_path(Store(project.parent), subject)
    place.parent.mkdir(parents=True, exist_ok=True)
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
