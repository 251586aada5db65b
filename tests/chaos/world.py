"""The services outside, which no fault ends: ``python -m tests.chaos.world SOCKET LEDGER DATABASE``.

What becomes of a request is its *fate*, which the saga's input foretells, or the event's data: there one for
each time that its handler is called. In a storm others meet one too.
Before anything happens the world looks at the database, past the proxy: whether the attempt was marked there
when its request came is known to nobody else.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.ledger import Kind, Ledger, Line, Service
from tests.chaos.wire import Message, end_with_parent, serve

SLOW = 1.2
"""Seconds that a slow answer takes: less than a step's time-out."""
TOO_SLOW = 2.8
"""More than that."""
LATE = {"late": 1.0, "too_late": 5.0}
"""Seconds until a request takes effect that nobody waits for: within what the service declares, and not."""
STORM = ("lose", "error", "error_after", "busy", "slow")

TOLD = ("saga", "event", "step", "way", "key", "attempt")
LOOK_AT_DELIVERY = """
    SELECT status, tries, tries - crashes FROM sagas_inboxmessage WHERE event_id = %s AND subscriber = %s
"""
OF_DELIVERY: tuple[str, ...] = ("status", "tries", "attempts")
LOOK = """
    SELECT saga.fence, saga.status, step.status, step.attempts, step.undo_attempts,
        extract(epoch FROM clock_timestamp() - step.sent_at)
    FROM sagas_saga saga JOIN sagas_sagastep step ON step.saga_id = saga.id
    WHERE saga.id = %s AND step.name = %s
"""
OF_STEP: tuple[str, ...] = ("fence", "saga", "step", "attempts", "undo_attempts", "age")


class World:
    """The services, their memory and their moods."""

    def __init__(self, ledger: Ledger, database: str) -> None:
        self._ledger = ledger
        self._database = database
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._one_look = asyncio.Lock()
        self._done: dict[str, dict[str, Any]] = {}
        self._undone: set[str] = set()
        self._answered: set[str] = set()
        self._in_hand: list[int] = []
        self._handling: list[int] = []
        self._called: Counter[tuple[str, str]] = Counter()
        self._later: set[asyncio.Task[None]] = set()
        self._storm = 0.0
        self._chance = random.Random(0)

    async def handle(self, message: Message) -> Message | None:
        """Answer a request, or None to have its sender wait in vain."""
        match message["ask"]:
            case "storm":
                self._storm = message["share"]
                self._chance = random.Random(message["seed"])
                return {}
            case "in hand":
                return {"pids": self._in_hand, "handlers": self._handling}
            case "calm":
                while self._later:
                    await asyncio.sleep(0.05)
                return {}
            case "probe":
                return await self._probe(message)
        callers = self._handling if message["event"] else self._in_hand
        callers.append(message["pid"])
        try:
            return await self._serve(message)
        finally:
            callers.remove(message["pid"])

    async def _serve(self, message: Message) -> Message | None:
        seen = await self._look(message)
        fate = self._fate(message)
        if fate == "ok" and self._chance.random() < self._storm:
            fate = self._chance.choice(STORM)
        self._note(Kind.ASKED, message, fate=fate, seen=seen, results=message["results"])
        match fate:
            case "refuse":
                return {"status": 409}
            case "busy":
                return {"status": 429}
            case "error":
                return {"status": 500}
            case "late" | "too_late":
                self._happen_later(message, LATE[fate])
                return None
            case "slow":
                await asyncio.sleep(SLOW)
        answer = self._happen(message, fate)
        match fate:
            case "lose":
                return None
            case "error_after" if message["ask"] != "handle":
                return {"status": 500}
            case "dawdle":
                await asyncio.sleep(TOO_SLOW)
            case "hang":
                await asyncio.sleep(2 * TOO_SLOW)
        return answer

    def _fate(self, message: Message) -> str:
        fates: list[str] = message["fates"]
        nth = message["attempt"]
        if message["event"]:
            self._called[message["step"], message["key"]] += 1
            nth = self._called[message["step"], message["key"]]
        return fates[nth - 1] if nth <= len(fates) else "ok"

    def _happen(self, message: Message, fate: str) -> Message:
        if message["ask"] == "handle":
            return {"status": 200, "result": fate}  # The rest is up to the handler.
        return self._do(message) if message["ask"] == "do" else self._undo(message)

    def _do(self, message: Message) -> Message:
        key, service = message["key"], Service(message["service"])
        if service is Service.SMART and key in self._undone:
            self._note(Kind.BARRED, message)
            return {"status": 409}
        if service is not Service.DUMB and key in self._done:
            self._note(Kind.AGAIN, message)
        else:
            self._note(Kind.DONE, message)
            self._done[key] = {"receipt": len(self._done)}
        return {"status": 200, "result": self._done[key]}

    def _undo(self, message: Message) -> Message:
        key, undoes, service = message["key"], message["undoes"], Service(message["service"])
        if service is not Service.DUMB and key in self._answered:
            self._note(Kind.AGAIN, message)
        elif undoes in self._done and undoes not in self._undone:
            self._note(Kind.UNDONE, message)
            self._undone.add(undoes)
        elif undoes in self._done and service is Service.DUMB:
            self._note(Kind.UNDONE, message)  # And once more: nobody there counts.
        else:
            self._note(Kind.EMPTY, message)
            if service is Service.SMART:
                self._undone.add(undoes)
        if service is Service.SMART or undoes in self._done:
            self._answered.add(key)
        return {"status": 200, "result": {}}

    async def _probe(self, message: Message) -> Message:
        return {"status": 200, "result": self._done.get(message["key"])}

    def _happen_later(self, message: Message, seconds: float) -> None:
        async def happen() -> None:
            await asyncio.sleep(seconds)
            self._happen(message, "late")

        task = asyncio.get_running_loop().create_task(happen())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _look(self, message: Message) -> dict[str, Any] | None:
        is_delivery = bool(message["event"])
        look, names = (LOOK_AT_DELIVERY, OF_DELIVERY) if is_delivery else (LOOK, OF_STEP)
        whom = message["event" if is_delivery else "saga"], message["step"]
        async with self._one_look:
            for _ in range(2):  # The connection may have been lost since the last look.
                with suppress(psycopg.Error):
                    if self._connection is None:
                        self._connection = await psycopg.AsyncConnection.connect(
                            self._database, autocommit=True, connect_timeout=2
                        )
                    found = await self._connection.execute(look, whom)
                    row = await found.fetchone()
                    if row is None:
                        return {}
                    return {
                        name: float(value or 0) if name == "age" else value
                        for name, value in zip(names, row, strict=True)
                    }
                self._connection = None
        return None

    def _note(self, kind: Kind, message: Message, **more: Any) -> None:
        told = {name: message[name] for name in TOLD}
        self._ledger.append(
            Line(kind=kind, service=Service(message["service"]), at=time.time(), **told, **more)
        )


def main() -> None:
    path, ledger, database = sys.argv[1:]
    end_with_parent()
    asyncio.run(_serve(path, ledger, database))


async def _serve(path: str, ledger: str, database: str) -> None:
    await serve(path, World(Ledger(Path(ledger)), database).handle)


if __name__ == "__main__":
    main()
