"""What the tests of the pipeline share.

==================  ========  =========================================================
fixture             scope     what it gives
==================  ========  =========================================================
server_up_for_long  function  (autouse) a server that seems to be up for an hour
visit               function  one real visit, enqueued
catalog_writer      function  a writer of catalogs that counts, in place of the real one
==================  ========  =========================================================
"""

from __future__ import annotations

import pytest
from support.in_process_queue import InProcessQueue
from support.pipeline import CatalogWriter

from icfqueue.catalog import study
from icfqueue.core.visit import Visit
from icfqueue.ledger.redis_ledger import RedisLedger


@pytest.fixture(autouse=True)
def server_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a lease, as the supervisor asks before it takes a visit for an orphan."""
    monkeypatch.setattr(RedisLedger, "uptime", lambda _: 3600.0)


@pytest.fixture
def visit(in_process_queue: InProcessQueue) -> Visit:
    (made,) = in_process_queue.build(1)
    in_process_queue.enqueue([made])
    return made


@pytest.fixture
def catalog_writer(monkeypatch: pytest.MonkeyPatch) -> CatalogWriter:
    made = CatalogWriter()
    monkeypatch.setattr(study, "add_visits", made.add_visits)
    return made
