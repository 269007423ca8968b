"""What tests of the store directory share."""

from __future__ import annotations

from pathlib import Path

import pytest

from icfqueue.store.directory import Store


@pytest.fixture
def folder(store: Store) -> Path:
    """The folder of a project."""
    made = store.project_dir("study_1")
    made.mkdir()
    return made
