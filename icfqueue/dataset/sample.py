"""What this machine would write: a small dataset, the same everywhere, made and hashed.

Whether workers write the same bytes cannot be told from the versions of their programs.
git 2.28, 2.39 and 2.52 wrote the same deposits of real visits, and git-annex of December
2025 and of October 2026 gives the same names; but one git wrote others with zlib-ng in
place of zlib, as some distributions have it. So each worker makes the same dataset, and
the hashes are compared.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from icfqueue.core.visit import Visit
from icfqueue.dataset import build, repository
from icfqueue.outputs.deposit import Source
from icfqueue.outputs.metadata_files import DicomRecord

MEMBERS = 300
"""DICOM files of the dataset: some pages of text for git to compress, in a few
milliseconds."""

URL = "https://sample.invalid"
VISIT = Visit("sample", "sample")


def fingerprint() -> str:
    """Return the hash of the dataset as it is written here, in hex; takes 0.2 s.

    Raises
    ------
    IcfqueueError, OSError
        git or git-annex is missing or failed, or there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="icfqueue-sample-") as folder:
        repo = repository.make_bare(Path(folder) / "repo")
        build.build(repo, VISIT, URL, _source(), [_record(n) for n in range(MEMBERS)])
        hashed = hashlib.sha256()
        for path in sorted(repo.rglob("*")):
            if path.is_file():
                hashed.update(path.name.encode())
                hashed.update(path.read_bytes())
        return hashed.hexdigest()


def _source() -> Source:
    return Source(
        url=f"{URL}/{VISIT.project}/{VISIT.tarball}",
        md5=_md5("tarball"),
        size=MEMBERS * 200_000,
        newest=1_700_000_000,
        metadata=_md5("metadata"),
        dicoms=MEMBERS,
    )


def _record(number: int) -> DicomRecord:
    series = number // 50
    return {
        "path": f"study/series_{series:02}/{_md5(str(number))[:12]}.{number:04}.dcm",
        "md5": _md5(f"member {number}"),
        "size": 150_000 + 7 * number,
        "SeriesDescription": f"a series, {series}",
        "SeriesNumber": series,
        "Modality": "MR",
        "MRAcquisitionType": "2D" if series % 2 else "3D",
        "ProtocolName": f"protocol {series}",
        "PulseSequenceName": "",
    }


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
