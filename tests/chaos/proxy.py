"""Doors to the database, with faults of their own: ``python -m tests.chaos.proxy SOCKET POSTGRESQL NAME…``.

Every host comes in by its own door. What is asked of a door: ``cut`` its connections, ``delay`` what passes,
``hold`` everything as a broken network does, ``lose`` the next COMMITs, or ``unanswer`` them: they are
carried out, and the answer never comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from tests.chaos.wire import Message, end_with_parent, serve

COMMIT = b"COMMIT\0"
CHUNK = 2**16


class Door:
    """A way to the database."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._open: set[asyncio.Task[None]] = set()
        self._delay = 0.0
        self._passes = asyncio.Event()
        self._passes.set()
        self._to_lose = self._to_unanswer = 0
        self._met = 0

    async def listen(self) -> int:
        """Open the door; return its port."""
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, backlog=200)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def ask(self, message: Message) -> Message:
        """Do what is asked of the door."""
        match message["ask"]:
            case "cut":
                for task in self._open:
                    task.cancel()
            case "delay":
                self._delay = message["seconds"]
            case "hold":
                self._passes.clear()
            case "pass":
                self._passes.set()
            case "lose":
                self._to_lose, self._met = message["commits"], 0
            case "unanswer":
                self._to_unanswer, self._met = message["commits"], 0
        return {"met": self._met, "open": len(self._open)}

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # The database is away, or somebody cut it.
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_database, to_database = await asyncio.open_unix_connection(self._database)
        deaf = asyncio.Event()
        ways = [
            asyncio.create_task(self._forth(reader, to_database, deaf)),
            asyncio.create_task(self._back(from_database, writer, deaf)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_database.transport.abort()

    async def _forth(
        self, reader: asyncio.StreamReader, database: asyncio.StreamWriter, deaf: asyncio.Event
    ) -> None:
        while chunk := await reader.read(CHUNK):
            await self._hinder()
            if COMMIT in chunk and self._to_lose:
                self._to_lose -= 1
                self._met += 1
                return
            if COMMIT in chunk and self._to_unanswer:
                self._to_unanswer -= 1
                self._met += 1
                deaf.set()
            database.write(chunk)
            await database.drain()

    async def _back(
        self, database: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event
    ) -> None:
        while chunk := await database.read(CHUNK):
            await self._hinder()
            if deaf.is_set():
                return  # That was the answer.
            writer.write(chunk)
            await writer.drain()

    async def _hinder(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._passes.wait()


def main() -> None:
    end_with_parent()
    path, database, *names = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_open(path, database, names))


async def _open(path: str, database: str, names: list[str]) -> None:
    doors = {name: Door(database) for name in names}
    ports = {name: await door.listen() for name, door in doors.items()}

    async def handle(message: Message) -> Message:
        if message["ask"] == "ports":
            return ports
        return doors[message["door"]].ask(message)

    await serve(path, handle)


if __name__ == "__main__":
    main()
