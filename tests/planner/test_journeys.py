"""Whole journeys: the planner's decisions carried out one by one, with whatever outcomes chance brings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sagas.definitions import Element, Outline, Parallel, Step
from sagas.engine.planner import (
    Begin,
    Decision,
    Finish,
    Halt,
    Suspend,
    TurnBack,
    Wait,
    Wish,
    has_passed_pivot,
    needs_undo,
    plan,
)
from sagas.models import SagaStep
from sagas.states import Direction, WaitsFor
from tests.planner.stands import NOW
from tests.samples import step

FORWARD, BACK = Direction.FORWARD, Direction.BACK
MOST_RETRIES = 3
LONGEST = 500
"""More decisions than the longest journey of five stages of three steps can need."""


@st.composite
def outlines(draw: st.DrawFn) -> Outline:
    """Up to five stages of up to three steps, perhaps with a pivot."""
    widths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    pivot = draw(st.none() | st.integers(0, len(widths) - 1))
    elements: list[Step | Parallel] = []
    for number, width in enumerate(widths):
        if number == pivot:
            elements.append(step(f"s{number}", pivot=True))
            continue
        after = pivot is not None and number > pivot
        kinds = [{"undo": False}] if after else [{}, {"read_only": True}, {"irrevocable": "gone is gone"}]
        steps = [step(f"s{number}_{i}", **draw(st.sampled_from(kinds))) for i in range(width)]  # type: ignore[arg-type]
        elements.append(Parallel(*steps))
    return Outline.of(elements)


class Journey:
    """A saga without a database: rows that are moved by decisions and outcomes."""

    def __init__(self, outline: Outline, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.outline = outline
        self.draw = draw
        self.now: datetime = NOW
        self.direction = FORWARD
        self.states = {name: SagaStep(name=name) for name in outline.steps}
        self.retries = dict.fromkeys(outline.steps, 0)
        self.wanted_back = False

    def go(self, watch: Callable[[Journey, Decision], None]) -> Decision:
        """Travel to the end; `watch` sees each decision before it is carried out."""
        for _ in range(LONGEST):
            self.wanted_back = self.wanted_back or self.draw(st.integers(0, 15)) == 0
            wish = Wish(turn_back=self.wanted_back and not has_passed_pivot(self.outline, self.states))
            decision = plan(self.outline, self.states, self.direction, self.now, wish=wish)
            watch(self, decision)
            match decision:
                case Begin(names, _):
                    for name in names:
                        self._begin(self.states[name])
                case Wait(until):
                    self._wait(until)
                case TurnBack():
                    self._turn_back()
                case Halt() | Finish() | Suspend():
                    return decision
        raise AssertionError("The journey has no end.")

    def _begin(self, state: SagaStep) -> None:
        if self.direction is FORWARD:
            state.begin(now=self.now)
        else:
            state.undo(now=self.now)

    def _wait(self, until: datetime | None) -> None:
        flying = [state for state in self.states.values() if state.in_flight]
        if flying and (until is None or self.draw(st.booleans())):
            self._land(self.draw(st.sampled_from(flying)))
        else:
            assert until is not None, "Nothing is in flight and no time is named: it would wait for ever."
            assert until > self.now
            self.now = until

    def _land(self, state: SagaStep) -> None:
        outcomes = (
            ["done", "failed"] if self.retries[state.name] >= MOST_RETRIES else ["done", "failed", "later"]
        )
        back = state.status == "compensating"
        outcome = self.draw(st.sampled_from(outcomes if back else [*outcomes, "unknown"]))
        soon = self.now + timedelta(seconds=self.draw(st.integers(0, 60)))
        self.retries[state.name] += outcome == "later"
        match outcome, back:
            case "done", False:
                state.complete(now=self.now)
            case "failed", False:
                state.fail(now=self.now)
            case "unknown", False:
                state.inflight_until = soon
                state.doubt(now=self.now)
            case "later", False:
                state.park(WaitsFor.RETRY, due_at=soon, in_doubt=self.draw(st.booleans()))
            case "done", True:
                state.undone(now=self.now)
            case "failed", True:
                state.undo_failed(now=self.now)
            case _:
                state.due_at = soon

    def _turn_back(self) -> None:
        self.direction = BACK
        for state in self.states.values():
            if state.status == "waiting":
                state.doubt(now=self.now) if state.in_doubt else state.fail(now=self.now)

    def stage_of(self, name: str) -> int:
        return self.outline.stage_of[name]

    def beyond(self, stage: int) -> list[tuple[Element, SagaStep]]:
        """The steps of later stages."""
        return [(s, self.states[n]) for n, s in self.outline.steps.items() if self.stage_of(n) > stage]

    def before(self, stage: int) -> list[SagaStep]:
        """The steps of earlier stages."""
        return [state for name, state in self.states.items() if self.stage_of(name) < stage]


def watch(journey: Journey, decision: Decision) -> None:
    """Assert what has to hold at every decision, whatever the planner's reasons."""
    states = journey.states.values()
    match decision:
        case Begin(names) if journey.direction is FORWARD:
            assert names
            assert not any(state.status in ("failed", "unknown") for state in states)
            for name in names:
                assert journey.states[name].status in ("pending", "waiting")
                assert all(state.status == "completed" for state in journey.before(journey.stage_of(name)))
        case Begin(names, _):
            assert names
            assert not any(state.status in ("running", "compensation_failed") for state in states)
            for name in names:
                assert needs_undo(journey.outline.steps[name], journey.states[name])
                assert not any(needs_undo(s, state) for s, state in journey.beyond(journey.stage_of(name)))
        case TurnBack():
            assert journey.direction is FORWARD
            assert not has_passed_pivot(journey.outline, journey.states)
        case Finish() if journey.direction is FORWARD:
            assert {state.status for state in states} == {"completed"}
        case Finish():
            assert not any(needs_undo(s, journey.states[name]) for name, s in journey.outline.steps.items())
    if isinstance(decision, TurnBack | Finish | Halt | Suspend):
        assert not any(state.in_flight for state in states)


@settings(max_examples=150, deadline=None)
@given(outlines(), st.data())
def test_every_journey_keeps_the_order_and_comes_to_an_end(outline, data):
    journey = Journey(outline, data.draw)

    end = journey.go(watch)

    if isinstance(end, Finish):
        done = {name for name, state in journey.states.items() if state.status == "completed"}
        kept = {name for name in done if journey.outline.steps[name].is_undoable}
        assert done == set(journey.states) if journey.direction is FORWARD else not kept


@settings(max_examples=50, deadline=None)
@given(outlines())
def test_a_journey_on_which_nothing_goes_wrong_visits_each_step_once_in_order(outline):
    visited: list[str] = []
    states = {name: SagaStep(name=name) for name in outline.steps}
    while not isinstance(decision := plan(outline, states, FORWARD, NOW), Finish):
        assert isinstance(decision, Begin)
        for name in decision.steps:
            visited.append(name)
            states[name].begin(now=NOW)
            states[name].complete(now=NOW)
    assert visited == list(outline.steps)
