"""Lines of a log for collectors."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from icfqueue.core.processes.json_log import JsonLines


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged below ``icfqueue.test`` and by another library."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("icfqueue.test", "another")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield stream
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_line_is_an_object_with_its_fields(written: io.StringIO) -> None:
    extra = {"action": "step.done", "project": "p", "visit": "v", "step": "fetch"}
    log = logging.getLogger("icfqueue.test")
    log.info("step.done %s\nnext line \x1b", "p/v", extra=extra | {"seconds": 1.5})
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == "step.done p/v\nnext line \x1b"
    assert (found["level"], found["logger"]) == ("info", "icfqueue.test")
    assert (found["visit"], found["seconds"]) == ("v", 1.5)
    assert found["t"].endswith("+00:00")


def test_a_traceback_is_a_field(written: io.StringIO) -> None:
    try:
        int("wrong")
    except ValueError:
        logging.getLogger("icfqueue.test").exception("oops")
    found = json.loads(written.getvalue())
    assert "ValueError: invalid literal" in found["traceback"]


def test_what_other_libraries_add_is_left_out(written: io.StringIO) -> None:
    """It may be a task's arguments."""
    logging.getLogger("another").info("x", extra={"data": {"args": 1}, "args_": "secret"})
    assert "secret" not in written.getvalue()
