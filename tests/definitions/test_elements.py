"""What a step says of itself, and how a definition lays its steps out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas import Parallel, Participant, Step, StepContext
from sagas.definitions import Outline, is_async
from sagas.states import Direction
from tests.samples import HOUR, MINUTE, SECOND, definition_of, step


def book(ctx: StepContext) -> None:
    """An action."""


async def look(ctx: StepContext) -> None:
    """An action on the loop."""


def cancel(ctx: StepContext) -> None:
    """A compensation."""


def test_a_step_is_named_after_its_function_unless_it_has_a_name():
    assert Step(book, compensation=cancel).name == "book"
    assert Step(book, compensation=cancel, name="book_again").name == "book_again"


@pytest.mark.parametrize("option", ["timeout", "undo_timeout"])
@pytest.mark.parametrize("value", [timedelta(0), -SECOND])
def test_a_step_needs_time(option, value):
    with pytest.raises(ValueError, match=rf"Step 'book': {option} must be longer than nothing\."):
        Step(book, compensation=cancel, **{option: value})


def test_each_direction_has_its_function_time_limit_and_policy():
    element = Step(book, compensation=cancel, timeout=SECOND, undo_timeout=MINUTE)
    assert [element.function(direction) for direction in Direction] == [book, cancel]
    assert [element.time_limit(direction) for direction in Direction] == [SECOND, MINUTE]
    assert [element.policy(direction) for direction in Direction] == [element.retry, element.undo_retry]


def test_a_step_without_compensation_has_no_function_for_the_way_back():
    with pytest.raises(LookupError, match="Step 'book' has no compensation"):
        Step(book, read_only=True).function(Direction.BACK)


@pytest.mark.parametrize(
    ("participant", "expected"),
    [
        (None, 40 * SECOND),  # the time-out and 30 seconds on the wire
        (Participant("bank"), 40 * SECOND),
        (Participant("bank", max_inflight=HOUR), HOUR),
        (Participant("bank", max_inflight=timedelta(0)), timedelta(0)),
    ],
)
def test_a_call_may_take_effect_until_its_time_on_the_wire_is_over(participant, expected):
    element = Step(book, compensation=cancel, participant=participant, timeout=10 * SECOND)
    assert element.max_inflight == expected


def test_a_function_says_itself_whether_it_runs_on_the_loop():
    assert is_async(look)
    assert not is_async(book)


def test_an_outline_has_stages_in_order():
    outline = Outline.of([step("a"), Parallel(step("b"), step("c")), step("d", pivot=True), step("e")])
    assert [[each.name for each in stage] for stage in outline.stages] == [["a"], ["b", "c"], ["d"], ["e"]]
    assert outline.stage_of == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 3}
    assert list(outline.steps) == ["a", "b", "c", "d", "e"]
    assert outline.pivot_stage == 2


def test_an_outline_without_pivot_can_be_undone_from_anywhere():
    assert Outline.of([step("a")]).pivot_stage is None


def test_the_outline_of_an_older_saga_has_only_the_steps_it_was_born_with():
    outline = Outline.of([step("a"), Parallel(step("b"), step("c")), step("d")])
    older = outline.only(frozenset({"a", "c"}))
    assert [[each.name for each in stage] for stage in older.stages] == [["a"], ["c"]]
    assert outline.only(frozenset({"a", "b", "c", "d", "long_gone"})) is outline


def test_a_definition_works_its_outline_out_once_and_for_itself():
    trip = definition_of(step("a"), name="samples.trip")

    class Longer(trip):  # type: ignore[misc, valid-type]
        steps = (step("a"), step("b"))

    assert trip.outline() is trip.outline()
    assert list(Longer.outline().steps) == ["a", "b"]
