"""The process in which one isolated attempt is made: ``python -m sagas.engine.apart FD PARENT``.

It reads the attempt from its standard input, and answers on the descriptor it is told. More on its input
means that the saga is to turn back; the end of its input, that nobody waits for the answer any more.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from io import FileIO
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django

if TYPE_CHECKING:
    from sagas.engine.attempts import Attempt, Held

PR_SET_PDEATHSIG = 1


def main() -> None:
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    os.set_inheritable(descriptor, False)
    told = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  # Buffered, a daemon thread could not read it.
    attempt = _attempt(json.loads(_read_exactly(told, int(told.readline()))))
    Thread(target=_heed, args=(told, attempt.held), daemon=True).start()

    from sagas.engine.functions import call_here

    with open(descriptor, "wb", buffering=0, closefd=False) as answers:
        answers.write(b"begun\n")
        settled = call_here(attempt)
        sys.stdout.flush()
        answer = {
            "outcome": settled.outcome,
            "result": settled.result,
            "events": [
                {"topic": event.topic, "data": dict(event.data), "key": event.key} for event in settled.events
            ],
            "error_class": settled.error_class,
            "error": settled.error,
            "trace": settled.trace,
            "delay": None if settled.delay is None else settled.delay.total_seconds(),
        }
        _write_all(answers, json.dumps(answer).encode() + b"\n")


def _attempt(told: dict[str, Any]) -> Attempt:
    django.setup()

    from sagas.definitions import registry
    from sagas.engine.attempts import Attempt, Held
    from sagas.states import Direction

    import_module(
        told["module"]
    )  # Known already, unless it was registered elsewhere than in an app's `sagas`.
    definition = registry.named(told["definition"])
    held = Held(
        id=UUID(told["saga"]),
        definition=definition.name,
        key=told["key"],
        fence=told["fence"],
        input=told["input"],
        traceparent=told["traceparent"],
        results=told["results"],
        lease_ends=float("inf"),
        asked_to_stop=told["asked_to_stop"],
    )
    return Attempt(
        held=held,
        step=definition.outline().steps[told["step"]],
        direction=Direction(told["direction"]),
        number=told["number"],
        idempotency_key=told["idempotency_key"],
        undoes=told["undoes"],
        result=told["result"],
    )


def _heed(told: FileIO, held: Held) -> None:
    if told.read(1):
        held.asked_to_stop = True
        told.read()
    os.killpg(0, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Have Linux end this process with its parent, also while a call holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _read_exactly(file: FileIO, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (chunk := file.read(length - len(data))):
            sys.exit("Nobody waits for this call any more.")
        data += chunk
    return data


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


if __name__ == "__main__":
    main()
