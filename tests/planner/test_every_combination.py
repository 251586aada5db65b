"""Every combination of statuses of up to four stages, against rules told in another way.

The oracle describes each stage by a letter, the saga by the word they make, and looks the word up in a
list of patterns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest

from sagas.definitions import Element, Outline, Parallel, Step
from sagas.engine.planner import Begin, Decision, Finish, Halt, Suspend, TurnBack, Wait, Wish, plan
from sagas.models import SagaStep
from sagas.states import Attention, Direction
from tests.planner.stands import ALL, NOW
from tests.samples import step

States = dict[str, SagaStep]
Stage = Sequence[Element]
NAMES = "abcd"


def is_open(state: SagaStep) -> bool:
    return state.due_at is None or state.due_at <= NOW


def may_begin(state: SagaStep) -> bool:
    return state.status == "pending" or (state.status == "waiting" and is_open(state))


def may_undo(each: Element, state: SagaStep) -> bool:
    return to_undo(each, state) and is_open(state) and not state.in_flight


def to_undo(each: Element, state: SagaStep) -> bool:
    return each.is_undoable and state.status in {"completed", "unknown", "compensating"}


def forward_letter(stage: Stage, states: States) -> str:
    """p: past · f: failed · b: failed with a sibling in flight · r: something can begin · w: nothing can."""
    found = {states[each.name].status for each in stage}
    if found <= {"completed", "skipped"}:
        return "p"
    if found & {"failed", "unknown"}:
        return "b" if any(states[each.name].in_flight for each in stage) else "f"
    return "r" if any(may_begin(states[each.name]) for each in stage) else "w"


def back_letter(stage: Stage, states: States) -> str:
    """n: nothing to undo · f: an undo failed · b: failed with a sibling in flight · r: ready · w: not yet."""
    if any(states[each.name].status == "compensation_failed" for each in stage):
        return "b" if any(states[each.name].in_flight for each in stage) else "f"
    if not any(to_undo(each, states[each.name]) for each in stage):
        return "n"
    return "r" if any(may_undo(each, states[each.name]) for each in stage) else "w"


def earliest(states: Sequence[SagaStep]) -> Wait:
    times = sorted(state.due_at for state in states if state.due_at and not state.in_flight)
    return Wait(times[0] if times else None)


def expected(
    stages: Sequence[Stage], states: States, direction: Direction, wish: Wish, halting: Attention | None
) -> Decision:
    in_flight = any(state.in_flight for state in states.values())
    asked: list[tuple[bool, Decision]] = [
        (wish.turn_back and direction is Direction.FORWARD, TurnBack()),
        (halting is not None, Halt(halting or Attention.CRASH_LOOP)),
        (wish.suspend, Suspend()),
    ]
    if in_flight and (wish.turn_back or wish.suspend or halting):
        return Wait()
    for is_asked, decision in asked:
        if is_asked:
            return decision
    return (
        expected_forward(stages, states) if direction is Direction.FORWARD else expected_back(stages, states)
    )


def expected_forward(stages: Sequence[Stage], states: States) -> Decision:
    word = "".join(forward_letter(stage, states) for stage in stages)
    past = len(word) - len(word.lstrip("p"))
    stage = stages[past] if past < len(stages) else ()
    pivot = [number for number, each in enumerate(stages) if each[0].pivot]
    rules: list[tuple[str, Callable[[], Decision]]] = [
        ("p*", Finish),
        ("p*b.*", Wait),
        ("p*f.*", lambda: after_failure(past, pivot, [states[each.name].status for each in stage])),
        ("p*r.*", lambda: Begin(tuple(each.name for each in stage if may_begin(states[each.name])))),
        ("p*w.*", lambda: earliest([states[each.name] for each in stage])),
    ]
    [decision] = [then() for pattern, then in rules if re.fullmatch(pattern, word)]
    return decision


def after_failure(stage: int, pivots: list[int], found: list[str]) -> Decision:
    if not pivots or stage < pivots[0] or (stage == pivots[0] and "unknown" not in found):
        return TurnBack()
    return Halt(Attention.UNKNOWN_OUTCOME if stage == pivots[0] else Attention.PAST_PIVOT)


def expected_back(stages: Sequence[Stage], states: States) -> Decision:
    if "running" in {state.status for state in states.values()}:
        return Wait()
    newest_first = list(reversed(stages))
    word = "".join(back_letter(stage, states) for stage in newest_first)
    passed = len(word) - len(word.lstrip("n"))
    stage = newest_first[passed] if passed < len(stages) else ()
    wanted = [each for each in stage if to_undo(each, states[each.name])]
    rules: list[tuple[str, Callable[[], Decision]]] = [
        ("n*", Finish),
        ("n*b.*", Wait),
        ("n*f.*", lambda: Halt(Attention.COMPENSATION_FAILED)),
        (
            "n*r.*",
            lambda: Begin(
                tuple(each.name for each in wanted if may_undo(each, states[each.name])), Direction.BACK
            ),
        ),
        ("n*w.*", lambda: earliest([states[each.name] for each in wanted])),
    ]
    [decision] = [then() for pattern, then in rules if re.fullmatch(pattern, word)]
    return decision


def every(names: str) -> Iterator[States]:
    for stands in product(ALL, repeat=len(names)):
        yield dict(zip(names, stands, strict=True))


def differences(
    elements: Sequence[Step | Parallel],
    *,
    direction: Direction,
    wish: Wish = Wish(),  # noqa: B008  (frozen)
    halting: Attention | None = None,
) -> list[tuple[list[str], Decision, Decision]]:
    """Return the combinations for which planner and oracle disagree; at most a few, to be read."""
    outline = Outline.of(elements)
    found = []
    for states in every("".join(outline.steps)):
        planned = plan(outline, states, direction, NOW, wish=wish, halting=halting)
        right = expected(outline.stages, states, direction, wish, halting)
        if planned != right:
            found.append(([str(state.status) for state in states.values()], planned, right))
    return found[:5]


def stages(number: int, *, pivot: int | None = None) -> list[Step]:
    """Return a saga of so many stages, with its pivot, if it has one, at this one."""
    return [
        step(name, pivot=True) if place == pivot else step(name, undo=pivot is None or place < pivot)
        for place, name in enumerate(NAMES[:number])
    ]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_stages_one_after_the_other(number, direction):
    assert differences(stages(number), direction=direction) == []


@pytest.mark.parametrize(
    ("number", "pivot"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 1), (4, 3)]
)
@pytest.mark.parametrize("direction", Direction)
def test_a_pivot_at_each_place(number, pivot, direction):
    assert differences(stages(number, pivot=pivot), direction=direction) == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    "elements",
    [
        [Parallel(step("a"), step("b"))],
        [Parallel(step("a"), step("b"), step("c"))],
        [step("a"), Parallel(step("b"), step("c"))],
        [Parallel(step("a"), step("b")), step("c")],
        [Parallel(step("a"), step("b")), Parallel(step("c"), step("d"))],
        [step("a"), Parallel(step("b"), step("c")), step("d", pivot=True)],
        [Parallel(step("a"), step("b", read_only=True)), step("c", irrevocable="gone is gone")],
    ],
    ids=["ab", "abc", "a-bc", "ab-c", "ab-cd", "a-bc-d!", "ab-c, in part not to be undone"],
)
def test_steps_side_by_side(elements, direction):
    assert differences(elements, direction=direction) == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("halting", [None, Attention.STEP_EXHAUSTED])
@pytest.mark.parametrize(
    ("turn_back", "suspend"), [(True, False), (False, True), (True, True), (False, False)]
)
def test_wishes_and_halts(turn_back, suspend, halting, direction):
    elements: list[Step | Parallel] = [step("a"), Parallel(step("b"), step("c", read_only=True))]
    wish = Wish(turn_back=turn_back, suspend=suspend)
    assert differences(elements, direction=direction, wish=wish, halting=halting) == []
