"""What a superdataset says of itself."""

from __future__ import annotations

from icfqueue.dataset.superdataset.readme import readme
from icfqueue.outputs.deposit import clone_url

URL = "https://data.example.org"


def test_it_names_the_project_and_how_it_is_cloned_got_and_updated() -> None:
    text = readme(URL, "study_1")
    assert text.startswith("# study_1\n")
    assert f"datalad clone '{clone_url(URL, 'study_1')}' study_1" in text
    for command in (
        "datalad get -n VISIT",
        "datalad update --how=ff-only",
        "datalad update -r --how=ff-only",
    ):
        assert command in text
    assert "REALM" not in text
    assert f"<{URL}/study_1/>" in text


def test_it_is_the_same_for_the_same_project() -> None:
    assert readme(URL, "study_1") == readme(URL, "study_1") != readme(URL, "study_2")
