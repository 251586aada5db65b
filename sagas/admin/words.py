"""What an operator is told about a saga that does not simply run, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from sagas.admin.times import span, until
from sagas.definitions import Approval
from sagas.engine.facts import FactKind
from sagas.engine.forecast import left_behind
from sagas.engine.locked import Locked
from sagas.engine.planner import has_passed_pivot, needs_undo
from sagas.models import Hold, SagaStep
from sagas.operations.courses import is_stuck
from sagas.states import AT_REST, Direction, SagaStatus, StepStatus, WaitsFor

Text = str | SafeString

ASKED = {
    FactKind.TURN_BACK: lambda: _("It was asked to turn back"),
    FactKind.SUSPEND: lambda: _("It was asked to stop"),
    FactKind.APPROVAL: lambda: _("It was decided"),
    FactKind.EVENT: lambda: _("An event has come for it"),
    FactKind.CHILD: lambda: _("A child saga has ended"),
}


@dataclass(frozen=True)
class Banner:
    """Sentences, and how urgent they are: a tone of the style sheet."""

    tone: str
    head: Text
    sentences: list[Text]


def banner(locked: Locked, holds: Iterable[Hold], *, known: bool) -> Banner | None:
    """Return what an operator should know; None where nothing is worth saying. `known`: the code has it."""
    saga = locked.saga
    sentences = [
        *_errors(locked),
        *_next(locked),
        *_waits(locked, known),
        *_asked(locked),
        *_held(holds),
        *(_way_back(locked) if known and saga.status in AT_REST else ()),
    ]
    if saga.attention:
        head = _("This saga needs a person: %(why)s.") % {"why": saga.get_attention_display()}
        return Banner("bad", head, sentences)
    if is_stuck(locked):
        late = span(locked.now - saga.due_at) if saga.due_at else ""
        return Banner(
            "bad", _("This saga is stuck: due for %(time)s, and nobody moves it.") % {"time": late}, sentences
        )
    if saga.status == SagaStatus.SUSPENDED:
        return Banner("warning", _("This saga was stopped by a person, and waits to be resumed."), sentences)
    if not sentences:
        return None
    return Banner("quiet", "", sentences)


def _errors(locked: Locked) -> Iterator[Text]:
    for step in locked.steps.values():
        if not step.error_class or step.status in (StepStatus.COMPLETED, StepStatus.COMPENSATED):
            continue
        attempts = step.attempt_number(step.direction)
        what = (
            _("%(step)s, attempt %(number)d:")
            if step.direction is Direction.FORWARD
            else _("Undo of %(step)s, attempt %(number)d:")
        )
        yield format_html(
            '<a href="#attempt-{}">{}</a> <strong>{}</strong> <span class="saga-error">{}</span>',
            step.name,
            what % {"step": step.name, "number": attempts},
            step.error_class,
            step.error,
        )
    if locked.saga.error_class and not any(step.error_class for step in locked.steps.values()):
        yield format_html(
            '<strong>{}</strong> <span class="saga-error">{}</span>',
            locked.saga.error_class,
            locked.saga.error,
        )


def _next(locked: Locked) -> Iterator[Text]:
    if locked.saga.status in AT_REST:
        yield _("No further attempt is planned.")
        return
    for step in locked.steps.values():
        retries = step.status == StepStatus.WAITING and step.waits_for == WaitsFor.RETRY
        if step.due_at is not None and (retries or step.status == StepStatus.COMPENSATING):
            text = _("The next attempt at %(step)s is due") % {"step": step.name}
            yield format_html("{} {}.", text, until(step.due_at, locked.now))


def _waits(locked: Locked, known: bool) -> Iterator[Text]:
    for step in locked.steps.values():
        if step.status != StepStatus.WAITING or step.waits_for == WaitsFor.RETRY:
            continue
        text = _("%(step)s waits for %(what)s") % {"step": step.name, "what": step.get_waits_for_display()}
        element = locked.outline.steps.get(step.name) if known else None
        if isinstance(element, Approval):
            text += " " + _("by somebody with the permission %(name)s") % {"name": element.permission}
        on = step.waits_on.partition(":")[2]
        yield format_html(
            "{}{}{}.",
            text,
            f": {on}" if on else "",
            format_html(", {} {}", _("time-out"), until(step.due_at, locked.now)) if step.due_at else "",
        )


def _asked(locked: Locked) -> Iterator[Text]:
    for fact in locked.facts:
        text = ASKED[FactKind(fact.kind)]() if fact.kind in ASKED else fact.kind
        by = _(" by %(name)s") % {"name": fact.by} if fact.by else ""
        yield _("%(what)s%(by)s; a worker heeds it when the running step has finished.") % {
            "what": text,
            "by": by,
        }


def _held(holds: Iterable[Hold]) -> Iterator[Text]:
    for hold in holds:
        told = {
            "name": hold.definition or hold.participant,
            "by": hold.by or "–",
            "reason": hold.reason or "–",
        }
        yield _("%(name)s is held by %(by)s: no new attempt goes forward. Reason: %(reason)s") % told


def _way_back(locked: Locked) -> Iterator[Text]:
    if locked.direction is Direction.BACK:
        return
    if has_passed_pivot(locked.outline, locked.steps):
        yield _("It has passed the point of no return, and cannot turn back.")
        return
    undoable = [step for step in locked.steps.values() if _would_be_undone(locked, step)]
    if undoable:
        yield _("Can be undone: %(steps)s.") % {"steps": ", ".join(step.name for step in undoable)}
    if left := left_behind(locked):
        yield format_html(
            "{} {}.",
            _("Cannot be undone:"),
            format_html_join(", ", "{} ({})", ((x.step, x.why) for x in left)),
        )


def _would_be_undone(locked: Locked, step: SagaStep) -> bool:
    element = locked.outline.steps.get(step.name)
    return element is not None and needs_undo(element, step)
