"""When a cluster is left alone, rung for, and replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from sagas.engine.heartbeat import ALIVE_FOR
from sagas.supervision.watch import LONGEST_PATIENCE, Runner, Sight, Verdict, Watch

SECOND = timedelta(seconds=1)
WELL, RING, REPLACE = Verdict

IDLE = Sight()
BUSY = Runner(SECOND, busy=3)
EMPTY = Runner(SECOND, busy=0)
SILENT = Runner(ALIVE_FOR + SECOND, busy=3)


def due(oldest: str = "a", *runners: Runner) -> Sight:
    return Sight((oldest,), runners)


@pytest.mark.parametrize(
    ("seen", "verdicts"),
    [
        ([IDLE] * 4, [WELL] * 4),
        ([due()] * 4, [RING, RING, RING, REPLACE]),
        ([due("a", EMPTY)] * 4, [RING, RING, RING, REPLACE]),
        ([due("a", SILENT)] * 4, [RING, RING, RING, REPLACE]),
        ([due("a", BUSY)] * 4, [RING] * 4),
        ([due("a", SILENT, BUSY)] * 4, [RING] * 4),
        ([due("a"), due("b"), due("c"), due("d")], [RING] * 4),
        ([due(), due(), IDLE, due()], [RING, RING, WELL, RING]),
        ([due(), due(), due("a", BUSY), due(), due(), due()], [RING] * 5 + [REPLACE]),
    ],
    ids=[
        "nothing is due",
        "nobody is there",
        "one is there and takes nothing",
        "one is there and has fallen silent",
        "one is full and works on",
        "one of two works on",
        "what is due is another each time",
        "what was due was taken",
        "it worked until just now",
    ],
)
def test_what_is_done_of_what_is_seen(seen: Sequence[Sight], verdicts: Sequence[Verdict]) -> None:
    """A look each five seconds, and a patience of fifteen."""
    watch = Watch(timedelta(seconds=15))
    assert [watch.judge(sight, at * 5.0) for at, sight in enumerate(seen)] == verdicts


def test_patience_grows_with_each_that_is_replaced_until_something_is_taken() -> None:
    watch = Watch(timedelta(seconds=15))
    grown = []
    for _ in range(8):
        watch.was_replaced()
        watch.judge(due(), 0.0)
        grown.append(watch.patience.total_seconds())
    assert grown == [30, 60, 120, 240, 480, *[LONGEST_PATIENCE.total_seconds()] * 3]
    watch.judge(due("b"), 1.0)
    assert watch.patience == timedelta(seconds=15)


def test_a_cluster_that_was_just_started_is_given_its_time() -> None:
    watch = Watch(timedelta(seconds=15))
    for at in (0.0, 15.0):
        verdict = watch.judge(due(), at)
    assert verdict is REPLACE
    watch.was_replaced()
    assert [watch.judge(due(), at) for at in (16.0, 45.0, 46.0)] == [RING, RING, REPLACE]
