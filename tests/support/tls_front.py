"""TLS in front of a server, in a process of its own: the shipped Valkey is built without.

``python tls_front.py ADDRESS PORT CHAIN KEY SERVER_PORT``; prints a line when it listens.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


async def serve(address: str, port: int, chain: str, key: str, behind: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", behind)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(connected, address, port, ssl=context)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    where, at, chain, key, behind = sys.argv[1:]
    asyncio.run(serve(where, int(at), chain, key, int(behind)))
