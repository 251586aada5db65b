"""What was published: the list of events, the page of one, and who tells whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.badges import badge
from sagas.admin.events import deliveries_of, delivery_badge, held_note, offers, took, with_holds
from sagas.admin.filters import TabFilter
from sagas.admin.payloads import payload
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.admin.search import full_id
from sagas.admin.tabs import PARAMETER, Tab, counted, shown_tabs
from sagas.admin.times import NOTHING, ago, moment
from sagas.admin.traffic import drawn, publisher_name
from sagas.clock import DatabaseTime
from sagas.figures import traffic
from sagas.messaging import SUBSCRIBER
from sagas.models import InboxMessage, InboxStatus, OutboxMessage
from sagas.redaction import redacted

LATE = timedelta(seconds=30)
"""Due for longer than this and handled by nobody."""


class EventAdmin(ReadOnlyAdmin):
    """What events have in common on their pages."""

    tabs: dict[str, Tab]
    ordering = ("-id",)
    search_fields = ("correlation_id",)
    search_help_text = gettext_lazy("The id of an event, or a whole correlation id.")
    change_list_template = "admin/sagas/messages.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("data")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        words = search_term.strip()
        found = queryset.annotate(now=DatabaseTime())
        if not words:
            return found, False
        is_of_case, event_id = Q(correlation_id=words), full_id(words)
        return found.filter(is_of_case if event_id is None else is_of_case | Q(event_id=event_id)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            response.context_data |= self.around_the_list(request)
        return response

    def around_the_list(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the list is shown with."""
        tab = request.GET.get(PARAMETER, "" if request.GET else "all")
        return {
            "tabs": shown_tabs(self.tabs, counted(self.tabs, self.model._default_manager.all()), tab),
            "empty": self.tabs[tab].empty if tab in self.tabs else _("No event is like that."),
        }

    @admin.display(description=gettext_lazy("topic and key"))
    def topic_and_key(self, message: Any) -> SafeString:
        return format_html('{}<div class="saga-key">{}</div>', message.topic, message.key)

    @admin.display(description=gettext_lazy("published"))
    def since(self, message: Any) -> SafeString:
        return ago(message.at)

    @admin.display(description=gettext_lazy("published"))
    def published(self, message: Any) -> SafeString | str:
        return moment(message.at)

    @admin.display(description=gettext_lazy("data"))
    def data_json(self, message: Any) -> SafeString:
        return payload(redacted(message.data))

    @admin.display(description=gettext_lazy("headers"))
    def headers_json(self, message: Any) -> SafeString:
        return payload(message.headers)


def _with(*statuses: InboxStatus, late: bool = False) -> Any:
    """Return what selects the events that have such a delivery, among few."""
    deliveries = InboxMessage.objects.filter(status__in=statuses)
    if late:
        deliveries = deliveries.filter(due_at__lte=DatabaseTime() - LATE)
    return lambda events: events.filter(event_id__in=deliveries.values("event_id"))


OUTBOX_TABS = {
    tab.name: tab
    for tab in (
        Tab("all", gettext_lazy("All"), lambda events: events, gettext_lazy("No event was published yet.")),
        Tab(
            "late",
            gettext_lazy("Late"),
            _with(InboxStatus.DUE, late=True),
            gettext_lazy("No event is late: whoever subscribed has handled it, or is about to."),
        ),
        Tab(
            "dead",
            gettext_lazy("With dead letters"),
            _with(InboxStatus.DEAD),
            gettext_lazy("No event awaits a person."),
        ),
        Tab("held", gettext_lazy("Held"), _with(InboxStatus.HELD), gettext_lazy("No event is held.")),
    )
}


class OutboxTabFilter(TabFilter):
    """What the tabs select."""

    tabs = OUTBOX_TABS


@admin.register(OutboxMessage)
class OutboxMessageAdmin(EventAdmin):
    """What was published."""

    tabs = OUTBOX_TABS
    list_display = ("topic_and_key", "told_by", "how_far", "saga_id_link", "case", "since")
    list_filter = (OutboxTabFilter,)
    lookups = frozenset({PARAMETER})
    traffic_template = "admin/sagas/outboxmessage/traffic.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        may_look = request.user.has_perm("sagas.view_inboxmessage")
        return [
            ("topic", "key", "seq"),
            ("told_by", "published"),
            *(["deliveries"] if may_look else []),
            "event_id",
            ("case", "saga_id_link"),
            "causation_id",
            "data_json",
            "headers_json",
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        # By the correlation id too, which has an index.
        mine = InboxMessage.objects.filter(
            correlation_id=OuterRef("correlation_id"), event_id=OuterRef("event_id")
        ).exclude(subscriber=SUBSCRIBER, status__in=[InboxStatus.PENDING, InboxStatus.KEPT])
        return found.annotate(
            is_dead=Exists(mine.filter(status=InboxStatus.DEAD)),
            is_held=Exists(mine.filter(status=InboxStatus.HELD)),
            is_due=Exists(mine.filter(status=InboxStatus.DUE)),
            is_told=Exists(mine),
        ), may_repeat

    def around_the_list(self, request: HttpRequest) -> dict[str, Any]:
        tools = [(self.url_of("outboxmessage_traffic"), _("Who tells whom"))]
        return super().around_the_list(request) | {"tools": tools}

    @admin.display(description=gettext_lazy("published by"))
    def told_by(self, message: OutboxMessage) -> str:
        return publisher_name(message.headers)

    @admin.display(description=gettext_lazy("deliveries"))
    def how_far(self, message: Any) -> SafeString:
        if message.is_dead:
            return badge(str(InboxStatus.DEAD.label), "✕", "bad")
        if message.is_held:
            return badge(str(InboxStatus.HELD.label), "‖", "waiting")
        if message.is_due:
            return badge(_("on its way"), "►", "active")
        if message.is_told:
            return badge(_("handled"), "✓", "good")
        return badge(_("nobody subscribed"), "○", "quiet")

    @admin.display(description=gettext_lazy("saga"))
    def saga_id_link(self, message: OutboxMessage) -> SafeString | str:
        return NOTHING if message.saga_id is None else self.saga_link(message.saga_id)

    @admin.display(description=gettext_lazy("case"))
    def case(self, message: OutboxMessage) -> SafeString:
        url = self.url_of("outboxmessage_changelist")
        text = message.correlation_id
        return format_html('<a href="{}?q={}" title="{}"><code>{}</code></a>', url, text, text, text[-12:])

    @admin.display(description=gettext_lazy("deliveries"))
    def deliveries(self, message: OutboxMessage) -> SafeString:
        found = list(with_holds(deliveries_of(message)).defer("data").order_by("id"))
        stand = {delivery.status for delivery in found}
        of_all = [
            (self.url_of("inboxmessage_act_on_many", act) + f"?event={message.pk}", label)
            for act, status, label in (
                ("hold", InboxStatus.DUE, _("Hold all that are due…")),
                ("release", InboxStatus.HELD, _("Release all…")),
            )
            if status in stand
        ]
        rows = [
            {
                "delivery": delivery,
                "url": self.url_of("inboxmessage_change", delivery.pk),
                "badge": delivery_badge(delivery),
                "note": held_note(delivery),
                "took": took(delivery),
                "offers": [
                    (self.url_of("inboxmessage_act", delivery.pk, act), label)
                    for act, label in offers(delivery)
                ],
            }
            for delivery in found
        ]
        template = "admin/sagas/outboxmessage/deliveries.html"
        return render_to_string(template, {"rows": rows, "of_all": of_all})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.traffic_view)
        return [path("traffic/", view, name="sagas_outboxmessage_traffic"), *super().get_urls()]

    def traffic_view(self, request: HttpRequest) -> HttpResponse:
        """Draw who publishes what and who reacts, as the latest events tell it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen = traffic()
        return self.page(
            request,
            self.traffic_template,
            title=_("Who tells whom"),
            letters_url=self.url_of("inboxmessage_changelist"),
            **drawn(seen),
        )
