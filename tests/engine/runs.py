"""Runs of a real runner, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sagas.engine.runner import Ran, Runner
from sagas.models import Worker


def run(**options: Any) -> Ran:
    """Run a runner to its end, which has to come soon. All slots are back then but those of hanging calls."""
    began = time.monotonic()
    runner = Runner(**options)
    ran = runner.run()
    assert time.monotonic() - began < 4
    assert not Worker.objects.exists()
    assert taken(runner) == runner._calls.overdue + len(runner._calls._tasks)
    return ran


def taken(runner: Runner) -> int:
    """Return how many slots of a runner are taken."""
    slots = runner._slots
    return slots.total + slots._backlog - sum(slots._free.values())


def sleeping(seconds: float, result: dict[str, Any] | None = None) -> Callable[[Any], Any]:
    """Return an answer that takes its time, in a thread."""

    def answer(ctx: Any) -> Any:
        time.sleep(seconds)
        return result

    return answer
