"""Makes a call in a process of its own, which is killed when the step's time is up.

The process is a fresh interpreter, `sagas.engine.apart`, that leads a group of its own and dies with the
thread that waits for it. It is told the attempt on its standard input, and answers on a pipe that nothing
else writes to: that the call begins, and what it came to. Its end without an answer is an outcome too.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import IO, Any

from django.conf import settings

from sagas.definitions import Event, registry
from sagas.engine.attempts import Attempt, Settled
from sagas.engine.functions import raised
from sagas.exceptions import OutcomeUnknown, RetryLater
from sagas.states import Outcome

LOOK_EVERY = 0.5
"""Seconds between two looks whether the saga is to turn back."""
BEGUN = b"begun\n"
"""What the process says before it makes the call."""


def call_apart(attempt: Attempt) -> Settled:
    """Make the call in a process of its own, and wait for its end, or its time-out."""
    sent = monotonic()
    limit = attempt.step.time_limit(attempt.direction, attempt.call)
    try:
        with _process(attempt) as (process, answers):
            said = _listen(process, answers, attempt, until=sent + limit.total_seconds())
            if said.startswith(BEGUN) and said.endswith(b"\n") and said != BEGUN:
                return _settled(attempt, json.loads(said.removeprefix(BEGUN)), sent)
            end = _end_of(process, limit, until=sent + limit.total_seconds())
    except OSError as error:
        return raised(attempt, RetryLater(f"No process could be started for it: {error}"), sent=sent)
    if not said.startswith(BEGUN):
        return raised(attempt, RetryLater(f"{end} before the call was made; its log says why."), sent=sent)
    return raised(attempt, OutcomeUnknown(f"{end} before the call had come back."), sent=sent)


@contextmanager
def _process(attempt: Attempt) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Run the process for the length of the block; nothing of its group is left behind."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as answers:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "sagas.engine.apart", str(writer), str(os.getpid())],
                stdin=subprocess.PIPE,
                pass_fds=(writer,),
                env=os.environ
                | {
                    "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
                start_new_session=True,
            )
        finally:
            os.close(writer)
        assert process.stdin is not None
        try:
            told = json.dumps(_told(attempt)).encode()
            with suppress(BrokenPipeError):
                process.stdin.write(b"%d\n%b" % (len(told), told))
                process.stdin.flush()
            yield process, answers
        finally:
            # Not waited for before, it is a zombie at least: its number names nobody else.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()


def _listen(process: subprocess.Popen[bytes], answers: IO[bytes], attempt: Attempt, *, until: float) -> bytes:
    """Return what the process says until its answer is whole, it ends, or its time is up."""
    said = b""
    is_told = attempt.held.asked_to_stop
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        while (left := until - monotonic()) > 0:
            if attempt.held.asked_to_stop and not is_told:
                is_told = True
                with suppress(BrokenPipeError):
                    process.stdin.write(b"\n")  # type: ignore[union-attr]
                    process.stdin.flush()  # type: ignore[union-attr]
            if not selector.select(min(left, LOOK_EVERY)):
                continue
            chunk = answers.read(65536)
            said += chunk
            if not chunk or (said.count(b"\n") == 2 and said.endswith(b"\n")):
                break
    return said


def _end_of(process: subprocess.Popen[bytes], limit: timedelta, *, until: float) -> str:
    """Say how the process ended, or that it is killed now. It stays a zombie."""
    while (found := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
        if monotonic() >= until:
            return f"Its process was killed after {limit}"
        sleep(0.01)
    if found.si_code == os.CLD_EXITED:
        return f"Its process ended with exit code {found.si_status}"
    return f"Its process was killed by {signal.Signals(found.si_status).name}"


def _told(attempt: Attempt) -> dict[str, Any]:
    """Return what the process has to know of the attempt."""
    held = attempt.held
    definition = registry.named(held.definition)
    return {
        "module": definition.__module__,
        "definition": held.definition,
        "saga": str(held.id),
        "key": held.key,
        "fence": held.fence,
        "input": held.input if attempt.input is None else attempt.input,
        "traceparent": held.traceparent,
        "results": held.results,
        "asked_to_stop": held.asked_to_stop,
        "step": attempt.step.name,
        "direction": attempt.direction,
        "number": attempt.number,
        "idempotency_key": attempt.idempotency_key,
        "undoes": attempt.undoes,
        "result": attempt.result,
    }


def _settled(attempt: Attempt, answer: dict[str, Any], sent: float) -> Settled:
    delay = answer["delay"]
    return Settled(
        attempt=attempt,
        outcome=Outcome(answer["outcome"]),
        result=answer["result"],
        events=[Event(**event) for event in answer["events"]],
        error_class=answer["error_class"],
        error=answer["error"],
        trace=answer["trace"],
        seconds=monotonic() - sent,
        delay=None if delay is None else timedelta(seconds=delay),
        sent=sent,
    )
