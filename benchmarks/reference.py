"""Slow ways to build a visit's dataset: what `export_repo` is measured against.

Both make what the tests compare our datasets with: two special remotes, the tarball and
every DICOM file under its key, with its URL, its presence and its six tags.
"""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path
from typing import Any

from benchmarks.inputs import STORE_URL
from icfqueue.tarball.dicom_walk import NAMES


def by_datalad(folder: Path, tarball: dict[str, Any], dicoms: list[dict[str, Any]]) -> None:
    """Use ``addurls``, and one ``setpresentkey`` process per DICOM file."""
    made = create(folder)
    quiet = {"result_renderer": "disabled", "exclude_autometa": "*"}
    how: dict[str, Any] = {"key": "et:MD5-s{size}--{md5}", **quiet}
    url = f"{STORE_URL}/{tarball['storepath']}"
    results = made.addurls([{"url": url, **tarball}], "{url}", "{dspath}", **how)
    [tarkey] = [found["annexkey"] for found in results if found["action"] == "fromkey"]
    results = made.addurls(
        dicoms,
        f"dl+archive:{tarkey}#path={{path}}&size={{size}}",
        "{path}",
        meta=[f"{tag.lower()}={{{tag}}}" for tag in NAMES],
        **how,
    )
    keys = [found["annexkey"] for found in results if found["action"] == "fromkey"]
    if len(keys) != len(dicoms):
        raise RuntimeError("addurls left files out")
    uuids = {name: _uuid(folder, name) for name in ("uncurl", "archivist")}
    _annex(folder, "setpresentkey", tarkey, uuids["uncurl"], "1")
    for key in keys:
        _annex(folder, "setpresentkey", key, uuids["archivist"], "1")
    _annex(folder, "merge")


def by_batch_modes(
    folder: Path, tarball: dict[str, Any], dicoms: list[dict[str, Any]]
) -> None:
    """Use ``fromkey``, ``registerurl``, ``setpresentkey`` and ``metadata``, in batches."""
    create(folder)
    uuids = {name: _uuid(folder, name) for name in ("uncurl", "archivist")}
    asked = [f"MD5-s{x['size']}--{x['md5']} {x['path']}" for x in dicoms]
    asked.append(f"MD5-s{tarball['size']}--{tarball['md5']} {tarball['dspath']}")
    keys = _annex(
        folder,
        "examinekey",
        "--batch",
        "--migrate-to-backend=MD5E",
        "--format=${key}\\n",
        lines=asked,
    ).split()
    *of_dicoms, tarkey = keys
    paths = [x["path"] for x in dicoms]
    locator = f":dl+archive:{tarkey}#path={{path}}&size={{size}}"
    urls = [locator.format(**x) for x in dicoms]
    pairs = list(zip(of_dicoms, paths, urls, strict=True))
    _annex(
        folder,
        *("fromkey", "--force", "--batch"),
        lines=[f"{tarkey} {tarball['dspath']}", *(f"{k} {p}" for k, p, _ in pairs)],
    )
    _annex(
        folder,
        *("registerurl", "--batch"),
        lines=[
            f"{tarkey} {STORE_URL}/{tarball['storepath']}",
            *(f"{k} {u}" for k, _, u in pairs),
        ],
    )
    _annex(
        folder,
        *("setpresentkey", "--batch"),
        lines=[
            f"{tarkey} {uuids['uncurl']} 1",
            *(f"{k} {uuids['archivist']} 1" for k, _, _ in pairs),
        ],
    )
    said = [
        json.dumps({"file": x["path"], "fields": _fields(x)}, ensure_ascii=False)
        for x in dicoms
    ]
    _annex(folder, "metadata", "--batch", "--json", lines=said)
    _annex(folder, "merge")
    subprocess.run(["git", "-C", folder, "commit", "--quiet", "-m", "DICOM"], check=True)


def _fields(record: dict[str, Any]) -> dict[str, list[str]]:
    return {tag.lower(): [str(record[tag])] for tag in NAMES if record[tag] != ""}


def create(folder: Path) -> Any:
    """Make an empty dataset with both special remotes."""
    warnings.simplefilter("ignore")
    import datalad.api as dl

    made = dl.create(path=folder, result_renderer="disabled")
    for name in ("uncurl", "archivist"):
        kind = ("type=external", f"externaltype={name}", "encryption=none")
        _annex(folder, "initremote", name, *kind, "autoenable=true")
    return made


def _uuid(folder: Path, remote: str) -> str:
    name = f"remote.{remote}.annex-uuid"
    command = ["git", "-C", str(folder), "config", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _annex(folder: Path, *words: str, lines: list[str] | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "annex", *words],
        input=None if lines is None else "".join(f"{line}\n" for line in lines),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout
