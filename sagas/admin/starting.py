"""Sagas started by hand: which definition, and a form drawn from its input."""

from __future__ import annotations

from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.inputs import InputForm
from sagas.admin.readonly import ReadOnlyAdmin
from sagas.definitions import SagaDefinition, registry
from sagas.exceptions import (
    DefinitionError,
    DuplicateKey,
    IdempotencyKeyReused,
    InputRefused,
    LockHeld,
    NotStorable,
)
from sagas.keys import MAX_KEY
from sagas.operations.actors import Actor
from sagas.operations.starting import start


class StartForm(forms.Form):
    """What is asked beside the input."""

    once = forms.UUIDField(widget=forms.HiddenInput)
    """However often the form is sent, it starts one saga."""
    key = forms.CharField(
        label=gettext_lazy("Business key"),
        help_text=gettext_lazy("At most one live saga of the definition has it."),
        required=False,
        max_length=MAX_KEY,
        strip=False,
        widget=forms.TextInput({"size": 60}),
    )


class StartingAdmin(ReadOnlyAdmin):
    """Starts sagas for those who may."""

    start_template = "admin/sagas/saga/start.html"

    def start_urls(self) -> list[URLPattern]:
        """Return the addresses of the pages."""
        guarded = self.admin_site.admin_view
        return [
            path("start/", guarded(self.choose_view), name="sagas_saga_choose"),
            path("start/<str:definition>/", guarded(self.start_view), name="sagas_saga_start"),
        ]

    def start_url(self) -> str:
        """Return the address where a definition is chosen."""
        return self.url_of("saga_choose")

    def may_start(self, request: HttpRequest) -> bool:
        """Say whether the user may start anything."""
        return bool(_startable(request))

    def choose_view(self, request: HttpRequest) -> HttpResponse:
        """Show what the user may start."""
        found = _startable(request)
        if not found:
            raise PermissionDenied
        choices = [
            (
                definition,
                (definition.__doc__ or "").strip().partition("\n")[0],
                self.url_of("saga_start", definition.name),
            )
            for definition in found
        ]
        return self.page(request, self.start_template, title=_("Start a saga"), choices=choices)

    def start_view(self, request: HttpRequest, definition: str) -> HttpResponse:
        """Ask for the input of a saga; on POST start it, and go to its page."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        if definition not in registry:
            raise Http404(_("There is no definition %(name)s.") % {"name": definition})
        wanted = registry[definition]
        if not Actor.of(request.user).may(wanted.start_permission):
            raise PermissionDenied(
                _("This takes the permission %(name)s.") % {"name": wanted.start_permission}
            )
        data = request.POST if request.method == "POST" else None
        form, input = StartForm(data, initial={"once": uuid4()}), InputForm.of(wanted, data)
        if wanted.key is not None:
            del form.fields["key"]  # It makes its own.
        if data is not None and all([form.is_valid(), input.is_valid()]):
            done = self._start(request, wanted, form, input)
            if done is not None:
                return done
        title = _("Start %(definition)s") % {"definition": wanted.name}
        return self.page(request, self.start_template, title=title, definition=wanted, form=form, input=input)

    def _start(
        self, request: HttpRequest, definition: type[SagaDefinition], form: StartForm, input: InputForm
    ) -> HttpResponse | None:
        """Start the saga and lead to it; None if it was refused, which the forms say then."""
        once = f"admin {form.cleaned_data['once']}"
        key = form.cleaned_data.get("key") or None
        try:
            saga = start(definition, input.values(), key=key, by=request.user, idempotency_key=once)
        except InputRefused as refusal:
            if own := refusal.errors.get("key") if "key" in form.fields else None:
                form.add_error("key", list(own))
            input.refuse({name: found for name, found in refusal.errors.items() if name != "key" or not own})
        except DuplicateKey as refusal:
            link = format_html('<a href="{}">{}</a>', self.saga_url(refusal.existing.pk), refusal.existing)
            form.add_error(None, format_html("{} {}", refusal, link))
        except (NotStorable, LockHeld, IdempotencyKeyReused, DefinitionError) as refusal:
            form.add_error(None, str(refusal))
        else:
            self.message_user(request, _("%(saga)s was started.") % {"saga": saga}, messages.SUCCESS)
            return HttpResponseRedirect(self.saga_url(saga.pk), status=303)
        return None


def _startable(request: HttpRequest) -> list[type[SagaDefinition]]:
    actor = Actor.of(request.user)
    return [each for _name, each in sorted(registry.items()) if actor.may(each.start_permission)]
