"""The columns of the list of sagas: what an operator asks first of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.badges import saga_badge
from sagas.admin.detail import copy_button, progress
from sagas.admin.readonly import ReadOnlyAdmin, short
from sagas.admin.times import ago, span, until
from sagas.definitions import registry
from sagas.models import Saga, SagaStep
from sagas.states import Attention, Direction

ERROR_SHOWN = 80
SHEETS = mark_safe(
    '<svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">'
    '<rect x="0.5" y="3.5" width="8" height="8"/><path d="M3.5 3.5v-3h8v8h-3"/></svg>'
)
"""Two sheets, one upon the other: copy. No font is sure to have the sign."""


class SagaColumns(ReadOnlyAdmin):
    """Draws them. The rows have the database's time as `now`, and what `tell_attempts` told them."""

    @admin.display(description=gettext_lazy("id"))
    def short_id(self, saga: Saga) -> SafeString:
        """The end of the id: all ids of a day begin alike."""
        return format_html('<code title="{}">{}</code>', saga.pk, short(saga.pk))

    @admin.display(description=gettext_lazy("copy the id"))
    def copy(self, saga: Saga) -> SafeString:
        """A button apart from the link that the id is."""
        return copy_button(saga.pk, _("Copy the id %(id)s") % {"id": short(saga.pk)}, SHEETS)

    @admin.display(description=gettext_lazy("definition and key"))
    def definition_and_key(self, saga: Saga) -> SafeString:
        return format_html('{}<div class="saga-key">{}</div>', saga.definition, saga.key or "")

    @admin.display(description=gettext_lazy("status"))
    def status_and_attention(self, saga: Saga) -> SafeString:
        badge = saga_badge(saga)
        if saga.attention:
            return format_html(
                '{}<div class="saga-attention">{}</div>', badge, Attention(saga.attention).label
            )
        if saga.due_at is None or saga.held_by is not None:
            return badge
        return format_html('{}<div class="saga-next">{}</div>', badge, until(saga.due_at, saga.now))  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("steps"))
    def progress(self, saga: Saga) -> SafeString:
        attempt = getattr(saga, "attempt", "")
        shown = format_html("{}<div>{}</div>", progress(saga), saga.current_step)
        return format_html('{}<div class="saga-next">{}</div>', shown, attempt) if attempt else shown

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, saga: Saga) -> SafeString | None:
        if not saga.error_class:
            return None
        return format_html(
            '<a href="{}#attempts" title="{}"><strong>{}</strong></a> {}',
            self.saga_url(saga.pk),
            saga.error,
            saga.error_class,
            Truncator(saga.error).chars(ERROR_SHOWN),
        )

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, saga: Saga) -> SafeString:
        if saga.ended_at is None:
            return ago(saga.created_at)
        took = _("took %(time)s") % {"time": span(saga.ended_at - saga.created_at)}
        return format_html('{}<div class="saga-next">{}</div>', ago(saga.created_at), took)


def tell_attempts(sagas: Iterable[Any]) -> None:
    """Tell these sagas how often their current step was tried, for `progress` to say: one statement."""
    halted = {saga.pk: saga for saga in sagas if saga.is_live and saga.error_class}
    steps = SagaStep.objects.filter(saga__in=halted).order_by()
    for saga_id, name, made, undo_made in steps.values_list("saga_id", "name", "attempts", "undo_attempts"):
        saga = halted[saga_id]
        if name == saga.current_step and made:
            saga.attempt = _attempt(saga, made, undo_made)


def _attempt(saga: Saga, made: int, undo_made: int) -> str:
    """Say which attempt at its current step a saga is at, and of how many."""
    back = saga.direction == Direction.BACK and undo_made > 0
    number = undo_made if back else made
    steps = registry[saga.definition].outline().steps if saga.definition in registry else {}
    policy = getattr(steps.get(saga.current_step), "undo_retry" if back else "retry", None)
    if policy is None or policy.attempts is None:
        return _("attempt %(number)d") % {"number": number}
    # An operator's retry may have added to them.
    return _("attempt %(number)d of %(limit)d") % {"number": number, "limit": max(policy.attempts, number)}
