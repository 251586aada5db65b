"""The collector is as it was when a runner has ended, however that ended."""

from __future__ import annotations

import gc

import pytest

from sagas.engine.garbage import YOUNG, collected_seldom
from sagas.engine.runner import Runner
from sagas.queue.tasks import run_due


def test_it_is_called_seldom_and_left_as_it_was():
    before = gc.get_threshold()

    def end_in_the_middle() -> None:
        with collected_seldom():
            assert gc.get_threshold() == (YOUNG, *before[1:])
            assert gc.get_freeze_count() > 0
            raise SystemExit

    with pytest.raises(SystemExit):
        end_in_the_middle()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


@pytest.mark.django_db(transaction=True)
def test_a_runner_is_gone_when_its_task_is():
    gc.collect()
    before = _runners()
    gc.disable()  # As soon as it may, it finds what is left.
    try:
        run_due()
        assert _runners() == before
    finally:
        gc.enable()


def _runners() -> int:
    return sum(type(each) is Runner for each in gc.get_objects())
