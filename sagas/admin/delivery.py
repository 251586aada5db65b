"""Deliveries, one for each subscriber of an event; those that were given up await a person."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.delivery_acts import ACTS, FOR_LETTERS, FOR_MANY, Act, LetterForm
from sagas.admin.events import advice, deliveries_of, delivery_badge, held_note, offers, took, with_holds
from sagas.admin.filters import Filter, TabFilter
from sagas.admin.message import LATE, EventAdmin
from sagas.admin.operating import apart_from_requests
from sagas.admin.payloads import payload
from sagas.admin.tabs import PARAMETER, Tab
from sagas.admin.times import NOTHING, ago, moment, until
from sagas.clock import DatabaseTime
from sagas.exceptions import LetterRefused
from sagas.figures import letter_groups
from sagas.models import IN_THE_WAY, InboxMessage, InboxStatus, OutboxMessage
from sagas.operations import letters
from sagas.operations.actors import Actor
from sagas.redaction import redacted

ERROR_SHOWN = 80
ALIKE = "alike"
"""Selects the dead letters that are like this one, by its id."""
EVENT = "event"
"""Selects the deliveries of an event, by its id in the outbox."""
AT_ONCE = 500
"""Letters about which something is done in one request."""
MOST_IDS = 200
"""That an address has room for."""


def _late(deliveries: QuerySet[Any]) -> QuerySet[Any]:
    return deliveries.filter(status=InboxStatus.DUE, due_at__lte=DatabaseTime() - LATE)


TABS = {
    tab.name: tab
    for tab in (
        Tab(
            "dead",
            gettext_lazy("Dead letters"),
            lambda deliveries: deliveries.filter(status=InboxStatus.DEAD),
            gettext_lazy("No delivery was given up."),
        ),
        Tab("late", gettext_lazy("Late"), _late, gettext_lazy("No delivery is late.")),
        Tab(
            "due",
            gettext_lazy("Not handled yet"),
            lambda deliveries: deliveries.filter(status=InboxStatus.DUE),
            gettext_lazy("All that was published is handled."),
        ),
        Tab(
            "held",
            gettext_lazy("Held"),
            lambda deliveries: deliveries.filter(status=InboxStatus.HELD),
            gettext_lazy("No delivery is held."),
        ),
        Tab("all", gettext_lazy("All"), lambda deliveries: deliveries, gettext_lazy("No event came yet.")),
    )
}


class InboxTabFilter(TabFilter):
    """What the tabs select."""

    tabs = TABS


class AlikeFilter(Filter):
    """Those that were given up like another one."""

    title = gettext_lazy("dead letters alike")
    parameter_name = ALIKE
    template = "admin/sagas/no_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ()

    def select(self, sagas: QuerySet[Any], value: str) -> QuerySet[Any]:
        letter = _letter(value)
        return sagas.none() if letter is None else sagas.filter(pk__in=letters.alike(letter).values("pk"))


@admin.register(InboxMessage)
class InboxMessageAdmin(EventAdmin):
    """Deliveries: one for each subscriber of an event."""

    tabs = TABS
    list_display = (
        "topic_and_key",
        "subscriber",
        "status_and_next",
        "tries",
        "last_error",
        "since",
        "acts_if_open",
    )
    list_filter = (InboxTabFilter, AlikeFilter)
    lookups = frozenset({"status__exact", PARAMETER, ALIKE})
    actions = ("requeue_selected", "resolve_selected", "hold_selected", "release_selected")
    fields = (
        ("subscriber", "badge", "acts"),
        "advice",
        ("topic", "key", "seq"),
        ("tries", "crashes", "in_doubt"),
        ("published", "ends", "took"),
        ("error_class", "error"),
        ("event", "correlation_id"),
        "data_json",
        "headers_json",
        "done_about_it",
    )
    act_template = "admin/sagas/inboxmessage/act.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_holds(super().get_queryset(request))

    @admin.display(description=gettext_lazy("status"))
    def badge(self, message: InboxMessage) -> SafeString:
        return delivery_badge(message)

    @admin.display(description=gettext_lazy("status"))
    def status_and_next(self, message: Any) -> SafeString:
        shown: SafeString | str = held_note(message)
        if message.status == InboxStatus.DUE and message.held_by is None:
            shown = until(message.due_at, message.now)
        if not shown:
            return delivery_badge(message)
        return format_html('{}<div class="saga-next">{}</div>', delivery_badge(message), shown)

    @admin.display(description=gettext_lazy("what to do"))
    def advice(self, message: InboxMessage) -> str | Promise:
        return advice(message)

    @admin.display(description=gettext_lazy("ended"))
    def ends(self, message: InboxMessage) -> SafeString | str:
        return moment(message.ended_at)

    @admin.display(description=gettext_lazy("took"))
    def took(self, message: InboxMessage) -> str:
        return took(message)

    @admin.display(description=gettext_lazy("event"))
    def event(self, message: InboxMessage) -> SafeString:
        url = self.url_of("outboxmessage_changelist")
        return format_html('<a href="{}?q={}"><code>{}</code></a>', url, message.event_id, message.event_id)

    @admin.display(description=gettext_lazy("last error"))
    def last_error(self, message: InboxMessage) -> SafeString | None:
        if not message.error_class:
            return None
        text = Truncator(message.error).chars(ERROR_SHOWN)
        return format_html('<strong title="{}">{}</strong> {}', message.error, message.error_class, text)

    @admin.display(description=gettext_lazy("operations"))
    def acts(self, message: InboxMessage) -> SafeString | str:
        links = [(self.url_of("inboxmessage_act", message.pk, act), label) for act, label in offers(message)]
        return format_html_join(" ", '<a class="saga-nowrap" href="{}">{}</a>', links) if links else NOTHING

    @admin.display(description=gettext_lazy("operations"))
    def acts_if_open(self, message: InboxMessage) -> SafeString | str:
        return self.acts(message) if message.status in IN_THE_WAY else NOTHING

    @admin.display(description=gettext_lazy("what was done about it"))
    def done_about_it(self, message: InboxMessage) -> SafeString | str:
        lines = [
            (
                moment(act.at),
                act.actor or act.actor_kind,
                ACTS[act.operation].label if act.operation in ACTS else act.operation,
                f" ({act.refusal})" if act.refusal else "",
                act.reason,
            )
            for act in message.acts.order_by("id")
        ]
        listed = format_html_join("", "<li>{} {} <strong>{}</strong>{} {}</li>", lines)
        return format_html("<ul>{}</ul>", listed) if lines else NOTHING

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        one, many = guarded(self.act_view), guarded(self.act_on_many_view)
        return [
            path("<int:letter_id>/<slug:act>-letter/", one, name="sagas_inboxmessage_act"),
            path("<slug:act>-letters/", many, name="sagas_inboxmessage_act_on_many"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List deliveries; whoever can do something about dead letters is first shown those."""
        may_act = any(Actor.of(request.user).may(ACTS[act].permission) for act in FOR_LETTERS)
        if request.method == "GET" and not request.GET and may_act:
            return HttpResponseRedirect(f"{request.path}?{PARAMETER}=dead")
        return super().changelist_view(request, extra_context)

    def around_the_list(self, request: HttpRequest) -> dict[str, Any]:
        around = super().around_the_list(request)
        if request.GET.get(PARAMETER) != "dead":
            return around
        actor = Actor.of(request.user)
        may = [act for act in FOR_LETTERS if actor.may(ACTS[act].permission)]
        around["groups"] = [
            {
                "group": group,
                "url": f"?{ALIKE}={group.one}",
                "last": ago(group.last_at),
                "offers": [(self._many_url(act, f"{ALIKE}={group.one}"), ACTS[act].label) for act in may],
            }
            for group in letter_groups()
        ]
        return around

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have letters delivered again."""
        return Actor.of(request.user).may(letters.REQUEUE)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Whether the user may say that letters need no delivery."""
        return Actor.of(request.user).may(letters.RESOLVE)

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Whether the user may hold deliveries, and release them."""
        return Actor.of(request.user).may(letters.HOLD)

    @admin.action(description=gettext_lazy("Deliver again…"), permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._led_to(request, "requeue", queryset)

    @admin.action(description=gettext_lazy("Resolve…"), permissions=["resolve"])
    def resolve_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._led_to(request, "resolve", queryset)

    @admin.action(description=gettext_lazy("Hold…"), permissions=["hold"])
    def hold_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._led_to(request, "hold", queryset)

    @admin.action(description=gettext_lazy("Release…"), permissions=["hold"])
    def release_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._led_to(request, "release", queryset)

    def _led_to(self, request: HttpRequest, act: str, queryset: QuerySet[Any]) -> HttpResponse | None:
        wanted = ACTS[act]
        fitting = queryset.filter(status=wanted.about).order_by("pk")
        ids = list(fitting.values_list("pk", flat=True)[: MOST_IDS + 1])
        if not ids:
            self.message_user(request, str(wanted.words.none), messages.WARNING)
            return None
        if len(ids) > MOST_IDS:
            text = _("Select at most %(most)d of them, or a group of those that failed alike.")
            self.message_user(request, text % {"most": MOST_IDS}, messages.WARNING)
            return None
        return HttpResponseRedirect(self._many_url(act, "ids=" + ",".join(map(str, ids))), status=303)

    def _many_url(self, act: str, query: str) -> str:
        return f"{self.url_of('inboxmessage_act_on_many', act)}?{query}"

    @apart_from_requests
    def act_view(self, request: HttpRequest, letter_id: int, act: str) -> HttpResponse:
        """Say what a delivery is; on POST have it made again, or resolve it."""
        wanted = self._permitted(request, act, ACTS)
        letter = with_holds(InboxMessage.objects.filter(pk=letter_id)).first()
        if letter is None:
            raise Http404(_("There is no delivery %(id)s.") % {"id": letter_id})
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        form = LetterForm(request, wanted)
        if request.method == "POST" and form.is_valid():
            try:
                wanted.perform(letter.pk, by=request.user, reason=form.cleaned_data["reason"])
            except LetterRefused as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                text = _("%(act)s was requested for %(letter)s.") % {"act": wanted.label, "letter": letter}
                self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(self.url_of("inboxmessage_change", letter.pk), status=303)
        return self._act_page(request, wanted, form, letter, title=f"{wanted.label}: {letter.topic}")

    @apart_from_requests
    def act_on_many_view(self, request: HttpRequest, act: str) -> HttpResponse:
        """Say which deliveries they are; on POST do it with each, one by one.

        Those that came to stand so after the page was shown are left.
        """
        wanted = self._permitted(request, act, FOR_MANY)
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        chosen = with_holds(_chosen(request)).filter(status=wanted.about).order_by("pk")
        last = request.POST.get("last", "")
        if last.isdecimal():
            chosen = chosen.filter(pk__lte=int(last[:18]))
        latest, number = chosen.last(), chosen.count()
        if latest is None:
            self.message_user(request, str(wanted.words.none_left), messages.WARNING)
            return self._back(wanted)
        form = LetterForm(request, wanted, many=number, last=latest.pk)
        if request.method == "POST" and form.is_valid():
            self._perform_all(request, wanted, chosen, form.cleaned_data["reason"])
            return self._back(wanted)
        title = wanted.words.title % {"act": wanted.label, "number": number}
        return self._act_page(request, wanted, form, latest, title=title, number=number)

    def _perform_all(
        self, request: HttpRequest, act: Act, chosen: QuerySet[InboxMessage], reason: str
    ) -> None:
        done, refusals = 0, []
        for pk in list(chosen.values_list("pk", flat=True)[:AT_ONCE]):
            try:
                act.perform(pk, by=request.user, reason=reason)
            except LetterRefused as refused:
                refusals.append(str(refused))
            else:
                done += 1
        text = act.words.done % {"act": act.label, "number": done}
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)
        for refusal in refusals[:3]:
            self.message_user(request, refusal, messages.WARNING)

    def _permitted(self, request: HttpRequest, act: str, acts: dict[str, Act]) -> Act:
        if act not in acts:
            raise Http404(_("There is no such operation."))
        wanted = acts[act]
        if not self.has_view_permission(request) or not Actor.of(request.user).may(wanted.permission):
            raise PermissionDenied(_("This takes the permission %(name)s.") % {"name": wanted.permission})
        return wanted

    def _act_page(
        self, request: HttpRequest, act: Act, form: LetterForm, letter: InboxMessage, **context: Any
    ) -> HttpResponse:
        return self.page(
            request,
            self.act_template,
            letter=letter,
            badge=delivery_badge(letter),
            advice=advice(letter),
            label=act.label,
            form=form,
            data=payload(redacted(letter.data)),
            **context,
        )

    def _back(self, act: Act) -> HttpResponse:
        url = self.url_of("inboxmessage_changelist")
        return HttpResponseRedirect(f"{url}?{PARAMETER}={act.leads_to}", status=303)


def _chosen(request: HttpRequest) -> QuerySet[InboxMessage]:
    """Return the deliveries that an address names: these, all of an event, or letters that are like one."""
    if ALIKE in request.GET:
        letter = _letter(request.GET[ALIKE])
        return InboxMessage.objects.none() if letter is None else letters.alike(letter)
    if EVENT in request.GET:
        pk = request.GET[EVENT]
        event = OutboxMessage.objects.filter(pk=int(pk)).first() if _is_id(pk) else None
        return InboxMessage.objects.none() if event is None else deliveries_of(event)
    ids = [int(each) for each in request.GET.get("ids", "").split(",") if _is_id(each)]
    return InboxMessage.objects.filter(pk__in=ids[:MOST_IDS])


def _letter(text: str) -> InboxMessage | None:
    return InboxMessage.objects.filter(pk=int(text)).first() if _is_id(text) else None


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19
