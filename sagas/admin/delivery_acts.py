"""What may be done about deliveries in the admin, and the form that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from sagas.admin.operation_forms import MOST_REASON
from sagas.models import InboxMessage, InboxStatus
from sagas.operations import letters

SMALL = 100
"""Of more letters their number has to be typed before something is done about them."""


@dataclass(frozen=True)
class Words:
    """How one speaks of the deliveries that something may be done about."""

    title: Any
    done: Any
    none: str | Promise
    none_left: str | Promise


OF_DELIVERIES = Words(
    ngettext_lazy("%(act)s: %(number)d delivery", "%(act)s: %(number)d deliveries", "number"),
    ngettext_lazy(
        "%(act)s was requested for %(number)d delivery.",
        "%(act)s was requested for %(number)d deliveries.",
        "number",
    ),
    gettext_lazy("With none of these deliveries that can be done."),
    gettext_lazy("With none of these deliveries that can be done any more."),
)
OF_LETTERS = Words(
    ngettext_lazy("%(act)s: %(number)d dead letter", "%(act)s: %(number)d dead letters", "number"),
    ngettext_lazy(
        "%(act)s was requested for %(number)d dead letter.",
        "%(act)s was requested for %(number)d dead letters.",
        "number",
    ),
    gettext_lazy("None of these is a dead letter."),
    gettext_lazy("None of these is a dead letter any more."),
)


@dataclass(frozen=True)
class Act:
    """What may be done about a delivery."""

    label: str | Promise
    permission: str
    perform: Callable[..., InboxMessage]
    needs_reason: bool = True
    about: InboxStatus | None = InboxStatus.DEAD
    """How those stand with many of which it may be done at once."""
    leads_to: str = "dead"
    """The tab that is shown when it was done with many."""
    words: Words = OF_LETTERS


ACTS = {
    "requeue": Act(gettext_lazy("Deliver again"), letters.REQUEUE, letters.requeue, needs_reason=False),
    "resolve": Act(gettext_lazy("Resolve"), letters.RESOLVE, letters.resolve),
    "send_again": Act(gettext_lazy("Send again"), letters.REQUEUE, letters.send_again, about=None),
    "hold": Act(
        gettext_lazy("Hold"),
        letters.HOLD,
        letters.hold,
        about=InboxStatus.DUE,
        leads_to="held",
        words=OF_DELIVERIES,
    ),
    "release": Act(
        gettext_lazy("Release"),
        letters.HOLD,
        letters.release,
        needs_reason=False,
        about=InboxStatus.HELD,
        leads_to="held",
        words=OF_DELIVERIES,
    ),
}
FOR_MANY = {name: act for name, act in ACTS.items() if act.about}
FOR_LETTERS = [name for name, act in ACTS.items() if act.about == InboxStatus.DEAD]


class LetterForm(forms.Form):
    """Why, and of many how many and up to which."""

    last = forms.IntegerField(widget=forms.HiddenInput, required=False)
    number = forms.IntegerField(
        label=gettext_lazy("Their number"),
        help_text=gettext_lazy("Typed by hand, for they are many."),
        required=False,
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept with the delivery, with your name."),
        required=False,
        max_length=MOST_REASON,
        widget=forms.Textarea({"rows": 2}),
    )

    def __init__(self, request: HttpRequest, act: Act, *, many: int = 0, last: int | None = None) -> None:
        super().__init__(request.POST if request.method == "POST" else None, initial={"last": last})
        self._many = many
        self.fields["reason"].required = act.needs_reason
        if many <= SMALL:
            del self.fields["number"]
        if not many:
            del self.fields["last"]

    def clean_number(self) -> int | None:
        """Refuse another number than that of the letters."""
        given: int | None = self.cleaned_data["number"]
        if given != self._many:
            raise forms.ValidationError(_("There are %(number)d of them."), params={"number": self._many})
        return given
