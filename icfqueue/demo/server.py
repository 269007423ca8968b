"""The store on the web of ``icfqueue demo`` and of the tests: on loopback."""

from __future__ import annotations

import base64
import hmac
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
        reader = StoreReader(Path(root).resolve(strict=True))
        super().__init__(reader, realm=realm, port=port)

    def allows(self, authorization: str | None) -> bool:
        """Tell whether this ``Authorization`` header opens the store."""
        if not self.auth:
            return True
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        wanted = f"Basic {secret}".encode()
        return hmac.compare_digest((authorization or "").encode(), wanted)
