"""What the tests of the ledger share: each runs against fakeredis and a real Valkey.

=======  ========  ====================================================================
fixture  scope     what it gives
=======  ========  ====================================================================
connect  function  a maker of connections to one server: fakeredis, then a real Valkey
ledger   function  a :class:`RedisLedger` on that server, in place of the usual one
=======  ========  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import fakeredis
import pytest
from support.valkey import Valkey

from icfqueue.ledger.redis_ledger import RedisLedger


@pytest.fixture(params=["fakeredis", "valkey"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()
        yield lambda: fakeredis.FakeRedis(server=server, decode_responses=True)
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    with ExitStack() as opened:
        yield lambda: opened.enter_context(valkey.client())


@pytest.fixture
def ledger(connect: Callable[[], Any]) -> RedisLedger:
    return RedisLedger(connect(), flush_after=0.05)
