"""What the ledger's keys are called: an interface, for data outlive a version."""

from __future__ import annotations

from icfqueue.core.visit import Visit
from icfqueue.ledger import keys
from icfqueue.ledger.keys import key, visit_key


def test_all_keys_lie_below_one_prefix_beside_celerys_own() -> None:
    assert key("projects") == "icfqueue:projects"
    assert key("in", "study_1", "queued") == "icfqueue:in:study_1:queued"


def test_a_record_is_called_by_project_and_visit() -> None:
    assert visit_key(Visit("study_1", "v1")) == "icfqueue:visit:study_1/v1"


def test_no_two_visits_share_a_key() -> None:
    """Ids have neither the slash nor the colon that stand between them."""
    names = ["a", "a.b", "a_b", "a-b", "b"]
    visits = [Visit(project, name) for project in names for name in names]
    assert len({visit_key(visit) for visit in visits}) == len(visits)
    assert keys.PREFIX.endswith(":")


def test_every_index_is_of_a_known_type() -> None:
    assert set(keys.KINDS) >= keys.FROM_RECORDS
    assert set(keys.KINDS.values()) == {"string", "set", "zset", "hash", "stream"}
