"""Steps that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from time import monotonic, sleep
from uuid import uuid4

import pytest

from sagas import start
from sagas.definitions import Event
from sagas.engine import isolation
from sagas.engine.attempts import Attempt, Held
from sagas.engine.isolation import call_apart
from sagas.engine.runner import Runner
from sagas.states import Direction, Outcome
from tests.elements.isolated import Isolated


def attempt(deed, *, step="act", direction=Direction.FORWARD, **more):
    held = Held(uuid4(), Isolated.name, "order-1", 1, {"deed": deed} | more, {}, monotonic() + 30)
    return Attempt(
        held, Isolated.outline().steps[step], direction, 2, "key", undoes="done", result={"x": "1"}
    )


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("step", ["act", "act_async"])
def test_a_call_comes_back_from_another_process(step):
    settled = call_apart(attempt("tell", step=step))
    assert settled.outcome is Outcome.DONE, settled.error
    assert settled.result.pop("pid") != os.getpid()
    assert settled.result == {"key": "key", "attempt": 2}
    assert settled.events == [Event("isolated.done", {"n": 1}, "k")]


def test_so_does_a_compensation():
    settled = call_apart(attempt("tell", direction=Direction.BACK))
    assert settled.result.pop("pid") != os.getpid()
    assert settled.result == {"undoes": "done", "result": {"x": "1"}}


@pytest.mark.parametrize(
    ("deed", "outcome", "error_class", "error"),
    [
        ("refuse", Outcome.NOT_DONE, "PermanentFailure", "no"),
        ("put off", Outcome.LATER, "RetryLater", "later"),
        ("break", Outcome.UNKNOWN, "ValueError", "broken"),
        ("leave", Outcome.UNKNOWN, "SystemExit", "4"),
        ("vanish", Outcome.UNKNOWN, "OutcomeUnknown", "ended with exit code 3"),
        ("crash", Outcome.UNKNOWN, "OutcomeUnknown", "killed by SIGSEGV"),
        ("return nonsense", Outcome.UNKNOWN, "NotStorable", "object"),
    ],
)
def test_whatever_it_does_is_an_outcome(deed, outcome, error_class, error):
    settled = call_apart(attempt(deed))
    assert (settled.outcome, settled.error_class) == (outcome, error_class)
    assert error in settled.error
    assert settled.delay == (timedelta(minutes=3) if deed == "put off" else None)


def test_a_long_answer_comes_whole():
    settled = call_apart(attempt("return much"))
    assert settled.outcome is Outcome.DONE, settled.error
    assert len(settled.result["text"]) == 200_000


def test_at_the_time_out_the_process_is_gone_and_so_is_what_it_started(tmp_path):
    file = tmp_path / "pids"
    settled = call_apart(attempt("spin", step="hurried", file=str(file)))
    assert (settled.outcome, settled.ended) == (Outcome.UNKNOWN, True)
    assert "killed after 0:00:03" in settled.error
    for pid in file.read_text().split():
        assert not is_alive(pid)


def test_nothing_is_in_doubt_when_the_call_was_never_made(monkeypatch):
    monkeypatch.setattr(isolation, "_told", lambda attempt: {"module": "no.such.module"})
    settled = call_apart(attempt("tell"))
    assert settled.outcome is Outcome.LATER
    assert "before the call was made" in settled.error


def test_nor_when_no_process_could_be_started(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    settled = call_apart(attempt("tell"))
    assert settled.outcome is Outcome.LATER
    assert "No process could be started" in settled.error


def test_it_is_told_when_its_saga_is_to_turn_back():
    waiting = attempt("wait to be asked")
    threading.Timer(1, lambda: setattr(waiting.held, "asked_to_stop", True)).start()
    assert call_apart(waiting).result == {"asked": True}


KILLED = """
import django, os, signal, threading, time
django.setup()
from pathlib import Path
from sagas.engine.isolation import call_apart
from tests.elements.test_isolated import attempt
threading.Thread(target=call_apart, args=[attempt("spin", file={file!r})], daemon=True).start()
while not Path({file!r}).exists():
    time.sleep(0.01)
time.sleep(0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_it_dies_with_its_runner(tmp_path):
    file = tmp_path / "pids"
    subprocess.run([sys.executable, "-c", KILLED.format(file=str(file))], check=False, timeout=60)
    pid = file.read_text().split()[0]
    deadline = monotonic() + 10
    while is_alive(pid) and monotonic() < deadline:
        sleep(0.05)
    assert not is_alive(pid)


@pytest.mark.django_db(transaction=True)
def test_a_runner_takes_it_from_start_to_end():
    saga = start(Isolated, {"deed": "tell"})
    Runner().run()
    saga.refresh_from_db()
    assert saga.status == "completed", saga.error
    pids = {step.result["pid"] for step in saga.steps.all() if step.result}
    assert len(pids - {os.getpid()}) == 3
