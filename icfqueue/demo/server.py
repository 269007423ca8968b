"""The store on the web of ``icfqueue demo`` and of the tests: on loopback."""

from __future__ import annotations

import base64
import hmac
import threading
from collections import Counter
from pathlib import Path

from icfqueue.serve.server import StoreServer
from icfqueue.store.reading import StoreReader


class DemoStore(StoreServer):
    """A folder served as a store on the web, on loopback.

    Parameters
    ----------
    root
        The folder to serve.
    user, password, realm
        What Basic authentication asks for, for every path.
    auth
        False serves everybody.
    port
        0 takes a free one.

    Attributes
    ----------
    requests
        How often (method, path, status) was answered; the path is as it was asked for.
    """

    def __init__(
        self,
        root: Path,
        *,
        user: str = "demo",
        password: str = "demo",  # noqa: S107 - guards shipped example data on loopback
        realm: str = "demo store",
        auth: bool = True,
        port: int = 0,
    ) -> None:
        self.user, self.password, self.auth = user, password, auth
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.lock = threading.Lock()
        reader = StoreReader(Path(root).resolve(strict=True))
        super().__init__(reader, realm=realm, port=port)

    def answered(self, method: str, path: str, status: int) -> None:
        """Count an answer."""
        with self.lock:
            self.requests[method, path, status] += 1

    def count(
        self, method: str | None = None, path: str | None = None, status: int | None = None
    ) -> int:
        """Return how many requests were answered that match what is given."""
        with self.lock:
            return sum(
                times
                for (a, b, c), times in self.requests.items()
                if method in {None, a} and path in {None, b} and status in {None, c}
            )

    def allows(self, authorization: str | None) -> bool:
        """Tell whether this ``Authorization`` header opens the store."""
        if not self.auth:
            return True
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        wanted = f"Basic {secret}".encode()
        return hmac.compare_digest((authorization or "").encode(), wanted)
