"""What a project takes on the disk, and what a clone moves."""

from __future__ import annotations

from icfqueue.reports.disk import Taken, usage_of
from icfqueue.store.directory import Store


def test_files_are_summed_up_by_kind_and_a_clone_by_visit(store: Store) -> None:
    folder = store.project_dir("p")
    (folder / "catalog").mkdir(parents=True)
    for name, size in {
        "v1_dicom.tar": 1000,
        "v1_metadata_dicoms.json": 30,
        "v1_metadata_tarball.json": 5,
        "v1_XDLRA--refs": 10,
        "v1_XDLRA--repo-export": 90,
        "v2_XDLRA--refs": 10,
        "v2_XDLRA--repo-export": 290,
        "XDLRA--refs": 7,
        "series.parquet": 50,
        "notes.txt": 9999,
    }.items():
        (folder / name).write_bytes(b"x" * size)
    found = usage_of(store, "p")
    assert found.here == [
        Taken("tarballs", 1, 1000),
        Taken("metadata", 2, 35),
        Taken("deposits", 5, 407),
        Taken("table of series", 1, 50),
    ]
    assert found.clone == 200


def test_without_deposits_nothing_is_said_of_clones(store: Store) -> None:
    store.project_dir("p").mkdir()
    assert usage_of(store, "p").clone is None
