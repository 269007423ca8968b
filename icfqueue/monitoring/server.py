"""The numbers on the web, where Prometheus fetches them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from icfqueue.core.errors import UsageError
from icfqueue.core.settings import Settings


@contextmanager
def serving(settings: Settings, host: str, port: int) -> Iterator[str]:
    """Serve the numbers of the queue for the length of a block; yield their address.

    Parameters
    ----------
    host
        Address to listen at. Whoever reaches it can read the names of all projects.
    port
        0 takes a free one.

    Raises
    ------
    UsageError
        The package ``prometheus_client`` is missing, there is no such address, or the
        port is taken.
    """
    try:
        import prometheus_client
    except ModuleNotFoundError:
        raise UsageError(
            "metrics need the package prometheus-client",
            hint="pip install prometheus-client",
        ) from None
    from icfqueue.monitoring.collector import QueueCollector
    from icfqueue.monitoring.source import Source

    registry = prometheus_client.CollectorRegistry()
    with Source(settings) as source:
        registry.register(QueueCollector(source.ask))
        try:
            server, thread = prometheus_client.start_http_server(
                port, host, registry=registry
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            what = f"port {port} is taken" if taken else f"{host}: {error.strerror}"
            raise UsageError(
                what, hint="choose another one with --port or --host"
            ) from None
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
