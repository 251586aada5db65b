"""What becomes of a saga when one thing goes wrong: every failure path of a definition, played in memory.

The planner, the verdicts and the retry policies are those of the engine; calls are made up, and time passes
at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from time import monotonic

from sagas.definitions import (
    CONTINUE,
    Approval,
    Element,
    SagaDefinition,
    SubSaga,
    SubSagas,
    WaitForEvent,
)
from sagas.engine import births
from sagas.engine.attempts import Attempt, Held, Settled
from sagas.engine.beginnings import is_to_be_probed
from sagas.engine.locked import Locked
from sagas.engine.outcomes import apply
from sagas.engine.planner import Begin, Finish, Halt, TurnBack, Wait, Wish, has_passed_pivot, plan
from sagas.engine.steering import halting, retire_expired_keys, turn_back
from sagas.engine.waiting import give_up
from sagas.models import SagaStep
from sagas.states import FAMILY, Attention, Call, Direction, Outcome, SagaStatus, StepKind, StepStatus

MOST_ROUNDS = 10_000
DAY_ONE = datetime(2000, 1, 1, tzinfo=UTC)
BACK = Direction.BACK

_TROUBLES = {
    Outcome.NOT_DONE: "{} is refused",
    Outcome.LATER: "{} is put off each time",
    Outcome.UNKNOWN: "{} never answers",
}
_STANDS = (
    StepStatus.COMPLETED,
    StepStatus.UNKNOWN,
    StepStatus.COMPENSATING,
    StepStatus.COMPENSATION_FAILED,
)


@dataclass(frozen=True)
class Trouble:
    """What goes wrong: calls of one step, or a wish that the saga be turned back."""

    told: str
    step: str = ""
    direction: Direction = Direction.FORWARD
    outcome: Outcome = Outcome.NOT_DONE
    cancelled_at: int | None = None
    """It is turned back before this stage begins."""


@dataclass(frozen=True)
class Path:
    """What becomes of a saga in one trouble, if all else goes well."""

    trouble: str
    calls: tuple[str, ...]
    """The calls that are made, in order."""
    status: SagaStatus
    attention: str
    """Why it needs a person."""
    stands: tuple[str, ...]
    """The steps whose effect is there in the end, or may be; of a saga that did not complete."""
    takes: timedelta
    """How long retries and waits take, without the calls themselves."""

    @property
    def calls_in_short(self) -> list[str]:
        """The calls, with what is repeated counted."""
        runs = ((call, len(list(times))) for call, times in groupby(self.calls))
        return [call if times == 1 else f"{call} ×{times}" for call, times in runs]


def explore(definition: type[SagaDefinition]) -> Iterator[Path]:
    """Yield what becomes of a saga of a registered definition, for each single thing that can go wrong.

    Every condition is taken to hold. Compensations that fail are those of a saga that is turned back.
    """
    return (_Journey(definition, trouble).travel() for trouble in _troubles(definition))


def _troubles(definition: type[SagaDefinition]) -> Iterator[Trouble]:
    outline = definition.outline()
    last = len(outline.stages) if outline.pivot_stage is None else outline.pivot_stage
    for number, stage in enumerate(outline.stages[: last + 1]):
        beginning = " and ".join(element.name for element in stage)
        yield Trouble(f"cancelled before {beginning}", cancelled_at=number)
    for name, element in outline.steps.items():
        match element:
            case WaitForEvent():
                yield Trouble(f"the event of {name} does not come", name)
            case Approval():
                yield Trouble(f"{name} is not granted", name)
            case SubSaga():
                yield Trouble(f"the child saga of {name} fails", name)
            case SubSagas():
                yield Trouble(f"a child saga of {name} fails", name)
            case _ if element.kind is StepKind.STEP:
                for outcome, told in _TROUBLES.items():
                    yield Trouble(told.format(name), name, outcome=outcome)
    for name, element in outline.steps.items():
        if element.kind is StepKind.STEP and element.is_undoable and outline.stage_of[name] < last:
            after = outline.stage_of[name] + 1
            yield Trouble(f"undo {name} is refused", name, BACK, cancelled_at=after)
            yield Trouble(
                f"undo {name} never answers", name, BACK, outcome=Outcome.UNKNOWN, cancelled_at=after
            )


class _Journey:
    """One saga that is not stored, on its way through one trouble."""

    def __init__(self, definition: type[SagaDefinition], trouble: Trouble) -> None:
        self._trouble = trouble
        saga = births.new_saga(definition, input={}, key=None)
        outline = definition.outline()
        steps = {
            name: births.new_step(saga, element, outline.stage_of[name])
            for name, element in outline.steps.items()
        }
        self._locked = Locked(saga, DAY_ONE, steps=steps)
        self._held = Held(saga.pk, definition.name, None, 0, {}, {}, lease_ends=0.0)
        self._calls: list[str] = []

    def travel(self) -> Path:
        """Go as far as the saga does."""
        for _ in range(MOST_ROUNDS):
            if self._goes_no_further():
                return self._path()
        raise AssertionError(f"{self._locked.saga.definition} comes to no end when {self._trouble.told}.")

    def _goes_no_further(self) -> bool:
        locked = self._locked
        saga = locked.saga
        retire_expired_keys(locked)
        decision = plan(
            locked.outline,
            locked.steps,
            locked.direction,
            locked.now,
            wish=Wish(turn_back=self._is_cancelled()),
            halting=halting(locked),
        )
        if saga.status == SagaStatus.PENDING and not isinstance(decision, TurnBack):
            saga.begin()
        match decision:
            case Begin(names, direction):
                for name in names:
                    self._attempt(locked.outline.steps[name], locked.step(name), direction)
            case Wait(until):
                assert until is not None, "All calls are answered at once."
                locked.now = until
            case TurnBack():
                turn_back(locked)
            case Halt(attention):
                saga.halt(attention)
                return True
            case Finish():
                saga.undone(now=locked.now) if locked.direction is BACK else saga.complete(now=locked.now)
                return True
        return False

    def _is_cancelled(self) -> bool:
        locked, stage = self._locked, self._trouble.cancelled_at
        if stage is None or locked.direction is BACK or has_passed_pivot(locked.outline, locked.steps):
            return False
        earlier = (step for step in locked.steps.values() if step.stage < stage)
        return all(step.ended_at is not None for step in earlier)

    def _attempt(self, element: Element, step: SagaStep, direction: Direction) -> None:
        locked = self._locked
        if direction is BACK:
            self._calls.append(f"undo {step.name}")
            step.undo(now=locked.now)
        else:
            call = Call.PROBE if is_to_be_probed(element, step) else Call.ACTION
            self._calls.append(f"probe {step.name}" if call is Call.PROBE else step.name)
            step.begin(now=locked.now, call=call)
        if element.kind is StepKind.STEP:
            self._settle(element, step, direction)
        elif direction is BACK:
            step.undone(now=locked.now)
        elif self._is_in_trouble(step, direction):
            self._go_wrong(element, step)
        else:
            step.complete(now=locked.now)

    def _settle(self, element: Element, step: SagaStep, direction: Direction) -> None:
        outcome = self._trouble.outcome if self._is_in_trouble(step, direction) else Outcome.DONE
        number, call = step.attempt_number(direction), Call(step.call)
        attempt = Attempt(self._held, element, direction, number, step.idempotency_key, call=call)
        ended = outcome is not Outcome.UNKNOWN
        apply(
            self._locked,
            Settled(attempt=attempt, outcome=outcome, result={}, ended=ended, sent=monotonic()),
        )

    def _is_in_trouble(self, step: SagaStep, direction: Direction) -> bool:
        return (step.name, direction) == (self._trouble.step, self._trouble.direction)

    def _go_wrong(self, element: Element, step: SagaStep) -> None:
        now = self._locked.now
        match element:
            case WaitForEvent() | Approval():
                self._locked.now += element.timeout
                give_up(self._locked, element, step, "nothing came")
            case SubSagas(on_failed=on_failed) if on_failed is CONTINUE:
                step.complete(now=now)
            case _:
                step.fail(now=now)

    def _path(self) -> Path:
        saga, steps = self._locked.saga, self._locked.steps
        outline = self._locked.outline
        stands = [
            name
            for name, step in steps.items()
            if step.status in _STANDS
            and outline.steps[name].kind in {StepKind.STEP, *FAMILY}
            and not (outline.steps[name].kind is StepKind.STEP and outline.steps[name].read_only)
        ]
        return Path(
            trouble=self._trouble.told,
            calls=tuple(self._calls),
            status=SagaStatus(saga.status),
            attention=str(Attention(saga.attention).label) if saga.attention else "",
            stands=() if saga.status == SagaStatus.COMPLETED else tuple(stands),
            takes=self._locked.now - DAY_ONE,
        )
