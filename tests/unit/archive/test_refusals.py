"""What stands in the way of a tarball is told at once."""

from __future__ import annotations

import pytest

from icfqueue.archive.refusals import LINK, SPECIAL, Refusals
from icfqueue.core.errors import BadFolder


def test_all_faults_are_counted_and_the_first_by_name_of_each_kind_is_named() -> None:
    refused = Refusals("it cannot be")
    refused.raise_if_any()
    for path in ("b", "a", "c"):
        refused.add(LINK, path)
    refused.add(SPECIAL, "tab\there")
    with pytest.raises(BadFolder) as caught:
        refused.raise_if_any()
    assert caught.value.message == (
        "it cannot be: 1 × a pipe, socket or device: 'tab\\there'; 3 × a symbolic link: 'a'"  # noqa: RUF001 - as it is printed
    )
    assert caught.value.hint == f"{SPECIAL.remedy}; {LINK.remedy}"
