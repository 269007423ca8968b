"""Records are made anew only from a project that is there."""

from __future__ import annotations

import pytest

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings
from icfqueue.ledger.ledger import Ledger
from icfqueue.operations.reconcile import reconcile
from icfqueue.store.directory import Store


def test_a_project_whose_folder_is_missing_is_a_fault_of_the_command_line(
    settings: Settings, store: Store, ledger: Ledger
) -> None:
    with pytest.raises(UsageError, match="study_1 is not there") as found:
        reconcile(settings, store, ledger, "study_1")
    assert found.value.exit_code == 2
    (store.root / "study_1").mkdir()
    assert reconcile(settings, store, ledger, "study_1").restored == []
