"""A crash on demand takes django-q2's workers and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from orders import crash


@pytest.fixture
def kills(monkeypatch) -> list[tuple[int, int]]:
    kills: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: kills.append((pid, number)))
    return kills


def _as_process_for(monkeypatch, target) -> None:
    process = multiprocessing.Process(target=target)
    monkeypatch.setattr(multiprocessing, "current_process", lambda: process)


def test_a_process_that_is_no_worker_goes_on(kills):
    crash.crash_worker()

    assert not crash.in_worker()
    assert kills == []


def test_a_child_process_with_another_task_goes_on(monkeypatch, kills):
    _as_process_for(monkeypatch, print)

    crash.crash_worker()

    assert kills == []


def test_a_worker_is_killed(monkeypatch, kills):
    from django_q.worker import worker

    _as_process_for(monkeypatch, worker)

    crash.crash_worker()

    assert kills == [(os.getpid(), signal.SIGKILL)]
