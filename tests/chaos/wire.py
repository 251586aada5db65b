"""How the harness's processes talk: one JSON line there and one back, over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

Message = dict[str, Any]
Handler = Callable[[Message], Awaitable[Message | None]]
MOST = 2**20
WORLD = "CHAOS_WORLD"
"""What names the world's socket in the environment of those who call it."""


class NoAnswer(ConnectionError):
    """The other end took the message and closed the connection. What it did is not known."""


def ask(path: str, message: Message, *, within: float = 10) -> Message:
    """Send a message and return the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within)
        connection.connect(path)
        connection.sendall(_line(message))
        with connection.makefile("rb") as lines:
            return _message(lines.readline())


async def ask_on_loop(path: str, message: Message) -> Message:
    """Send a message and return the answer, without blocking the loop."""
    reader, writer = await asyncio.open_unix_connection(path, limit=MOST)
    try:
        writer.write(_line(message))
        return _message(await reader.readline())
    finally:
        writer.close()


async def serve(path: str, handle: Handler) -> None:
    """Answer messages for ever. Where the handler returns None no answer is sent."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            answer = await handle(_message(await reader.readline()))
            if answer is not None:
                writer.write(_line(answer))
                await writer.drain()

    # Under another name first: whoever finds the socket finds somebody listening.
    server = await asyncio.start_unix_server(meet, f"{path}.new", limit=MOST, backlog=500)
    os.rename(f"{path}.new", path)
    async with server:
        await server.serve_forever()


def end_with_parent() -> None:
    """End this process when its standard input ends: that is when whoever started it is gone."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    Thread(target=watch, daemon=True).start()


def _line(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _message(line: bytes) -> Message:
    if not line.endswith(b"\n"):
        raise NoAnswer("The connection was closed without an answer.")
    message: Message = json.loads(line)
    return message
