"""References: the format of kerchunk and fsspec, the same bytes for the same places."""

from __future__ import annotations

import json

from icfqueue.outputs.references import Place, dump

URL = "https://store.example.org/p/v_dicom.tar"
PLACES = [Place("b é/\"x'.dcm", "0" * 32, 512, 7), Place("a.dcm", "1" * 32, 2048, 9)]


def test_each_path_has_address_start_and_length() -> None:
    assert json.loads(dump(URL, PLACES)) == {
        "version": 1,
        "refs": {"a.dcm": [URL, 2048, 9], "b é/\"x'.dcm": [URL, 512, 7]},
    }


def test_the_order_of_the_places_does_not_show() -> None:
    assert dump(URL, PLACES) == dump(URL, PLACES[::-1])
    assert dump(URL, PLACES).splitlines()[1].startswith('"a.dcm"')


def test_images_of_equal_content_are_where_the_first_is() -> None:
    """For a deposit does not tell which is which."""
    twins = [Place("b", "0" * 32, 4096, 7), Place("a", "0" * 32, 512, 7)]
    found = json.loads(dump(URL, [*twins, Place("c", "0" * 32, 1, 8)]))["refs"]
    assert found == {"a": [URL, 512, 7], "b": [URL, 512, 7], "c": [URL, 1, 8]}


def test_of_no_image_there_is_no_reference() -> None:
    assert json.loads(dump(URL, [])) == {"version": 1, "refs": {}}
