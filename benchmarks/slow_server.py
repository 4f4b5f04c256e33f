"""A server that takes a second for each answer. Prints its port; ends when it is killed or its parent is gone."""

import asyncio
import os

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n" + b'{"ok": true} '
SECONDS = 1.0


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection, however many requests it sends (none has a body)."""
    try:
        while (await reader.readuntil(b"\r\n\r\n")) != b"":
            await asyncio.sleep(SECONDS)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    """Serve until the parent is gone."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    async with server:
        while os.getppid() == parent:  # noqa: ASYNC110 (nobody tells when a parent dies)
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(serve())
