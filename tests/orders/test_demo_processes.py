"""The processes of a demonstration end with it, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orders.demo import web
from orders.demo.processes import PROJECT, ManagedCommand
from orders.demo.stage import EndedByItself, Stage

pytestmark = pytest.mark.processes

FAMILY = """
import json, multiprocessing, os, time
def work(): time.sleep(60)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
open({path!r} + ".new", "w").write(json.dumps([os.getpid(), child.pid]))
os.rename({path!r} + ".new", {path!r})
time.sleep(60)
"""
"""A command that forks, as a cluster does, and says who it is."""

PARENT = """
import sys, time
from orders.demo.processes import ManagedCommand
with ManagedCommand("shell", "-c", sys.argv[1]):
    time.sleep(60)
"""


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # Ended, and perhaps not yet noticed by whoever inherited it.


def _wait_for(condition, seconds: float = 20) -> None:
    given_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < given_up_at, "It did not come about in time."
        time.sleep(0.05)


@pytest.fixture
def family(tmp_path) -> tuple[str, Path]:
    path = tmp_path / "pids.json"
    return FAMILY.format(path=str(path)), path


def test_a_command_ends_with_its_block(family):
    code, path = family

    with ManagedCommand("shell", "-c", code) as command:
        _wait_for(path.exists)
        pids = json.loads(path.read_text())
        assert all(_is_running(pid) for pid in pids)
        assert not command.ended

    _wait_for(lambda: not any(_is_running(pid) for pid in pids))


def test_a_command_that_ignores_its_end_is_killed_with_what_it_forked(family, monkeypatch):
    from datetime import timedelta

    code, path = family
    monkeypatch.setattr("orders.demo.processes.GRACE", timedelta(milliseconds=200))

    with ManagedCommand("shell", "-c", "import signal; signal.signal(15, signal.SIG_IGN)\n" + code):
        _wait_for(path.exists)
        pids = json.loads(path.read_text())

    _wait_for(lambda: not any(_is_running(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_nothing_outlives_a_parent_that_is_killed(family):
    code, path = family
    parent = subprocess.Popen([sys.executable, "-c", PARENT, code], cwd=PROJECT, start_new_session=True)
    try:
        _wait_for(path.exists)
        pids = json.loads(path.read_text())
        assert all(_is_running(pid) for pid in pids)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()

    _wait_for(lambda: not any(_is_running(pid) for pid in pids))


def test_an_environment_that_is_given_counts_for_more_than_a_default(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGAS_LEASE", "7")
    path = tmp_path / "environment"
    code = f"import os; open({str(path)!r}, 'w').write(os.environ['SAGAS_LEASE'] + os.environ['COLOUR'])"

    with ManagedCommand("shell", "-c", code, defaults={"SAGAS_LEASE": "3", "COLOUR": "red"}) as command:
        _wait_for(lambda: command.ended)

    assert path.read_text() == "7red"


def test_a_process_that_ends_by_itself_is_noticed():
    stage = Stage()
    with stage, ManagedCommand("shell", "-c", "pass") as command:
        stage._processes.append(command)
        _wait_for(lambda: command.ended)

        with pytest.raises(EndedByItself, match=r"^shell ended by itself"):
            stage.look_up()


def test_the_web_server_is_waited_for_and_ends_with_the_stage():
    with Stage() as stage:
        port = _free_port()
        stage.start_web_server(port)
        assert not web.is_free(port)

    assert web.is_free(port)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((web.HOST, 0))
        return int(probe.getsockname()[1])
