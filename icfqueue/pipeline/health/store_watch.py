"""Whether this worker, or command, sees the store that its broker works for.

A node whose mount is missing sees an empty folder, and would fail every visit for want of
its tarball. A second store on one broker would have its visits done with the files of the
first. So a store directory has an id (:mod:`icfqueue.store.identity`), which whoever works
with it first gives to it and to the broker. Before each claim a worker looks at the id's
file, which costs one ``stat``; the broker compares the id within the claim itself.
"""

from __future__ import annotations

import logging
import time

from icfqueue.core.errors import OtherStore
from icfqueue.ledger.ledger import Ledger
from icfqueue.pipeline.heartbeat import Stopping
from icfqueue.store import identity
from icfqueue.store.directory import Store
from icfqueue.store.fingerprint import Fingerprint

log = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks for a store that is not seen."""

SAY = 60.0
"""Seconds between two words about it."""


class StoreWatch:
    """Looks for the store of one broker.

    Parameters
    ----------
    store
        What is at the place of the store directory.
    ledger
        Where the id is noted, and compared at each claim.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger
        self._seen: Fingerprint | None = None

    def check(self, *, make: bool = False) -> None:
        """Raise unless the store is there and the broker's.

        Parameters
        ----------
        make
            Take a folder without projects for a new store; else it is taken for a mount
            that is missing.

        Raises
        ------
        OtherStore
            It is not there, or another one, or cannot be read.
        """
        try:
            self._check(make=make)
        except OSError as error:
            self._seen = None
            raise OtherStore(
                f"{self.store.root} cannot be read: {error.strerror or error}",
                hint="is it mounted, and its server up?",
            ) from error

    def _check(self, *, make: bool) -> None:
        if self._unchanged():
            return
        self._seen = None
        now = self.store.fingerprint(identity.path_of(self.store))
        found = identity.read(self.store)
        noted = self.ledger.store_id(found)
        if found is None and noted is not None:
            raise identity.missing(self.store, noted)
        if found is None:
            if not make and not self.store.projects():
                raise OtherStore(
                    f"{self.store.root} is empty. Is it mounted?",
                    hint="the store directory has a folder for each project",
                )
            # Before there were ids, or the first command of all.
            try:
                found = identity.make(self.store)
            except OSError:
                # By who may only read; who works on it gives it one.
                return
            now = self.store.fingerprint(identity.path_of(self.store))
            noted = self.ledger.store_id(found)
        if noted is not None and noted != found:
            raise identity.differs(self.store, found, noted)
        self.ledger.bind_store(found)
        self._seen = now

    def check_asking(self) -> None:
        """Raise if the store has an id and the broker another: for who only asks.

        Raises
        ------
        OtherStore
            It has.
        """
        if (found := identity.read(self.store)) is None:
            return
        noted = self.ledger.store_id(None)
        if noted not in {None, found}:
            raise identity.differs(self.store, found, str(noted))

    def lost(self) -> OtherStore | None:
        """Return why the store that was there is not there any more, None if it is."""
        if self._seen is None:
            return None
        try:
            self.check()
        except OtherStore as error:
            return error
        return None

    def forget(self) -> None:
        """Look anew the next time: the broker said that it is another's."""
        self._seen = None

    def wait(self, stopping: Stopping) -> bool:
        """Wait until the store is seen; return False if the worker is to stop before."""
        said = 0.0
        while not stopping.asked:
            try:
                self.check()
            except OtherStore as error:
                if not said or time.monotonic() > said + SAY:
                    said = time.monotonic()
                    log.warning("nothing is taken: %s. %s", error.message, error.hint)
            else:
                if said:
                    log.info("the store %s is seen again", self.store.root)
                return True
            time.sleep(LOOK)
        return False

    def _unchanged(self) -> bool:
        if self._seen is None:
            return False
        return self.store.fingerprint(identity.path_of(self.store)) == self._seen
