"""Statuses as glyph, word and colour, so that neither colour nor glyph is needed to read them."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sagas.models import BatchStatus, Saga, SagaStep
from sagas.states import SagaStatus, StepStatus

_MARKS = {
    SagaStatus.PENDING: ("○", "quiet"),
    SagaStatus.RUNNING: ("►", "active"),
    SagaStatus.COMPENSATING: ("↶", "back"),
    SagaStatus.SUSPENDED: ("‖", "waiting"),
    SagaStatus.FAILED: ("✕", "bad"),
    SagaStatus.COMPLETED: ("✓", "good"),
    SagaStatus.COMPENSATED: ("↺", "back"),
    SagaStatus.ABANDONED: ("⊘", "quiet"),
}
_STEP_MARKS = {
    StepStatus.PENDING: ("○", "quiet"),
    StepStatus.RUNNING: ("►", "active"),
    StepStatus.WAITING: ("…", "waiting"),
    StepStatus.COMPLETED: ("✓", "good"),
    StepStatus.FAILED: ("✕", "bad"),
    StepStatus.UNKNOWN: ("?", "bad"),
    StepStatus.SKIPPED: ("»", "quiet"),
    StepStatus.COMPENSATING: ("↶", "back"),
    StepStatus.COMPENSATED: ("↺", "back"),
    StepStatus.COMPENSATION_FAILED: ("✕", "bad"),
}
_BATCH_MARKS = {
    BatchStatus.DRAFT: ("○", "quiet"),
    BatchStatus.RUNNING: ("►", "active"),
    BatchStatus.SUSPENDED: ("‖", "waiting"),
    BatchStatus.DONE: ("✓", "good"),
    BatchStatus.CANCELLED: ("⊘", "quiet"),
}


def saga_badge(saga: Saga) -> SafeString:
    """Return the status of a saga."""
    status = SagaStatus(saga.status)
    return badge(str(status.label), *_MARKS[status])


def batch_badge(status: BatchStatus) -> SafeString:
    """Return the status of a batch."""
    return badge(str(status.label), *_BATCH_MARKS[status])


def step_badge(step: SagaStep) -> SafeString:
    """Return the status of a step."""
    status = StepStatus(step.status)
    return badge(str(status.label), *step_mark(status))


def step_mark(status: StepStatus) -> tuple[str, str]:
    """Return the glyph and the tone of a step's status."""
    return _STEP_MARKS[status]


def badge(word: str, glyph: str, tone: str) -> SafeString:
    """Return a word with a mark; the tones are the style sheet's."""
    return format_html(
        '<span class="saga-badge saga-badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        glyph,
        word,
    )
