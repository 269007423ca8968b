"""What ``icfqueue archive`` writes becomes a dataset that gives its images back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.credentials import log_in
from support.datasets import call
from support.folders import make_folder

from icfqueue.archive.make import archive
from icfqueue.demo.server import DemoStore
from icfqueue.demo.visits import shipped
from icfqueue.outputs import deposit, metadata_files
from icfqueue.steps import export_repo, index_tar, write_json
from icfqueue.steps.job import Job
from icfqueue.store.directory import Store


def test_an_image_of_an_archived_folder_is_got_by_datalad(
    store: Store,
    make_job: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a name that needs a pax header, and a text file beside it."""
    images = shipped("dicomdirtests/77654033/CT2")
    long = f"MR 1/{'ü' * 60}.dcm"
    folder = make_folder(
        tmp_path / "export",
        {
            long: images[0].read_bytes(),
            **{f"MR 2/{image.name}": image.read_bytes() for image in images[1:]},
            "notes & more.txt": b"of the visit",
        },
    )
    with DemoStore(store.root) as web:
        log_in(monkeypatch, web)
        job = make_job("visit_1", store_url=web.url)
        done = archive(store, job.visit, [folder])
        for step in (index_tar, write_json, export_repo):
            step.run(job)
        told = metadata_files.read_tarball(store, job.visit)
        assert told is not None
        assert (told.size, told.md5) == (done.size, done.md5)
        url = deposit.clone_url(web.url, job.visit)
        call("datalad", "clone", url, tmp_path / "clone", cwd=tmp_path)
        path = f"study_1_visit_1/{long}"
        call("datalad", "get", path, cwd=tmp_path / "clone")
    got = (tmp_path / "clone" / path).read_bytes()
    assert hashlib.md5(got).digest() == hashlib.md5(images[0].read_bytes()).digest()
