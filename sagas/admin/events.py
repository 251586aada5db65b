"""Events as they belong to one saga: what was published under its correlation id, and who was told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.badges import badge
from sagas.admin.payloads import payload
from sagas.admin.times import NOTHING, ago, span
from sagas.definitions import subscriptions
from sagas.messaging import SUBSCRIBER
from sagas.models import DeadLetterAct, InboxMessage, InboxStatus, OutboxMessage, Saga
from sagas.operations.privacy import Shown

MOST = 100

_MARKS = {
    InboxStatus.PENDING: ("○", "quiet"),
    InboxStatus.KEPT: ("…", "waiting"),
    InboxStatus.TAKEN: ("✓", "good"),
    InboxStatus.DUE: ("►", "active"),
    InboxStatus.HELD: ("‖", "waiting"),
    InboxStatus.DONE: ("✓", "good"),
    InboxStatus.DEAD: ("✕", "bad"),
    InboxStatus.RESOLVED: ("⊘", "quiet"),
}


@dataclass(frozen=True)
class EventRow:
    """An event, and its deliveries."""

    event: OutboxMessage
    data: SafeString
    deliveries: list[tuple[InboxMessage, SafeString]]


def event_rows(saga: Saga, shown: Shown) -> list[EventRow]:
    """Return the events of a saga’s correlation id: two statements, one where there are none."""
    published = OutboxMessage.objects.filter(correlation_id=saga.correlation_id).order_by("id")
    events = list(published[:MOST])
    if not events:
        return []
    deliveries = defaultdict(list)
    told = InboxMessage.objects.filter(correlation_id=saga.correlation_id).defer("data")
    told = told.exclude(subscriber=SUBSCRIBER, status__in=[InboxStatus.PENDING, InboxStatus.KEPT])
    for message in told.order_by("id")[: MOST * 4]:
        deliveries[message.event_id].append((message, delivery_badge(message)))
    return [EventRow(event, payload(shown(event.data)), deliveries[event.event_id]) for event in events]


OFFERED = {
    InboxStatus.DUE: (("hold", gettext_lazy("Hold…")),),
    InboxStatus.HELD: (("release", gettext_lazy("Release…")),),
    InboxStatus.DEAD: (("requeue", gettext_lazy("Deliver again…")), ("resolve", gettext_lazy("Resolve…"))),
    InboxStatus.DONE: (("send_again", gettext_lazy("Send again…")),),
    InboxStatus.RESOLVED: (("send_again", gettext_lazy("Send again…")),),
}


def offers(message: InboxMessage) -> Sequence[tuple[str, str | Promise]]:
    """Return what may be done about a delivery, with what a link to it says."""
    return OFFERED.get(InboxStatus(message.status), ())


def took(message: InboxMessage) -> str:
    """Return how long it took from the publication until the event was handled, or given up."""
    return NOTHING if message.ended_at is None else span(message.ended_at - message.at)


def delivery_badge(message: InboxMessage) -> SafeString:
    """Return how far an event has come on its way to a subscriber."""
    status = InboxStatus(message.status)
    return badge(str(status.label), *_MARKS[status])


def deliveries_of(event: OutboxMessage) -> QuerySet[InboxMessage]:
    """Select the deliveries of an event; by the correlation id too, which has an index."""
    return InboxMessage.objects.filter(correlation_id=event.correlation_id, event_id=event.event_id)


def with_holds(deliveries: QuerySet[InboxMessage]) -> QuerySet[InboxMessage]:
    """Read with deliveries who held them and why: one statement more."""
    holds = DeadLetterAct.objects.filter(operation="hold", refusal="").order_by("id")
    return deliveries.prefetch_related(Prefetch("acts", holds, to_attr="holds"))


def held_note(message: Any) -> SafeString | str:
    """Say who holds a delivery that was read `with_holds`, since when and why; nothing of others."""
    if message.status != InboxStatus.HELD or not message.holds:
        return ""
    act = message.holds[-1]
    who = act.actor or act.get_actor_kind_display()
    return format_html(_("Held by {who}, {ago}: {why}"), who=who, ago=ago(act.at), why=act.reason)


ADVICE = {
    "CrashLoop": gettext_lazy(
        "It killed its workers when it was delivered alone. Mend the handler before it is delivered again."
    ),
    "TooManyHops": gettext_lazy(
        "Handlers seem to answer each other. Mend that and resolve it: delivered again it goes on from here."
    ),
    "CaseClosed": gettext_lazy(
        "A person had its case undone. Resolve it if what it tells is undone too, or else deliver it again."
    ),
}
IN_DOUBT = gettext_lazy(
    "A call outside of a transaction may have taken effect. Find out at the other system: resolve it if it "
    "has, deliver it again if not, or if a second call does no harm."
)
REFUSED = gettext_lazy(
    "Mend the cause and deliver it again, or resolve it and say why. Later events of its key wait meanwhile."
)
HELD = gettext_lazy(
    "It is not delivered until it is released, and then at once. Later events of its key wait meanwhile."
)
UNKNOWN_SUBSCRIBER = gettext_lazy(
    "The code has no such subscriber (any more). Deploy it, or resolve the letter."
)


def advice(message: Any) -> str | Promise:
    """Say what to do about a delivery that awaits a person; of any other there is nothing to say."""
    if message.status == InboxStatus.HELD:
        return format_html("{} {}", held_note(message), HELD)
    if message.status != InboxStatus.DEAD:
        return NOTHING
    if subscriptions.get(message.subscriber) is None:
        return UNKNOWN_SUBSCRIBER
    return ADVICE.get(message.error_class, IN_DOUBT if message.in_doubt else REFUSED)
