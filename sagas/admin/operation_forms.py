"""The form of an operation: why, of which state of the saga it is asked, and the arguments it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sagas.admin.inputs import InputForm, JSONField
from sagas.admin.readonly import short
from sagas.conf import saga_settings
from sagas.definitions import registry
from sagas.engine.locked import Locked
from sagas.models import Saga
from sagas.operations.operation import Operation
from sagas.operations.privacy import Shown
from sagas.operations.steps import DONE, NOT_DONE

MOST_REASON = 1000
OUTCOMES = ((DONE, gettext_lazy("It happened")), (NOT_DONE, gettext_lazy("It did not happen")))


class OperationForm(forms.Form):
    """What an operation is asked with; the input, where it takes one, has a form of its own."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept in the saga’s history, with your name."),
        required=False,
        max_length=MOST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    revision = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    input: InputForm | None = None

    @classmethod
    def of(
        cls, operation: Operation, locked: Locked, shown: Shown, data: Mapping[str, Any] | None = None
    ) -> OperationForm:
        """Draw the form for a saga as it stands."""
        form = cls(data, initial={"revision": revision_seen(locked.saga)})
        form.operation, form.saga = operation, locked.saga
        form.fields["reason"].required = needs_reason(operation)
        if operation.steps is not None:
            form._ask_for_step([step.name for step in operation.steps(locked)])
        if "outcome" in operation.arguments:
            form._ask_for_outcome()
        if operation.name == "abandon":
            form._ask_for_confirmation()
        if "input" in operation.arguments and locked.saga.definition in registry:
            form.input = InputForm.of(registry[locked.saga.definition], data, now=shown(locked.saga.input))
        form.order_fields([name for name in form.fields if name != "reason"])
        return form

    operation: Operation
    saga: Saga

    def is_valid(self) -> bool:
        """Say whether everything that was filled in can be understood."""
        is_valid = super().is_valid()
        return (self.input is None or self.input.is_valid()) and is_valid

    @property
    def arguments(self) -> dict[str, Any]:
        """The operation's arguments, as `perform` takes them."""
        given = {
            name: value
            for name in self.operation.arguments
            if (value := self.cleaned_data.get(name)) not in (None, "")
        }
        if self.input is not None and (changes := self.input.changes()):
            given["input"] = changes
        return given

    def clean_confirmation(self) -> str:
        """Check that the saga was named."""
        given: str = self.cleaned_data["confirmation"].strip()
        if given != (wanted := name_of(self.saga)):
            raise forms.ValidationError(_("This is not %(name)s.") % {"name": wanted})
        return given

    def _ask_for_step(self, names: list[str]) -> None:
        choices = [(name, name) for name in names]
        if len(names) == 1:
            widget: type[forms.Widget] = forms.HiddenInput
            self.fields["step"] = forms.ChoiceField(choices=choices, initial=names[0], widget=widget)
            self.fields["step"].required = False
        else:
            self.fields["step"] = forms.ChoiceField(label=_("Step"), choices=choices)

    def _ask_for_outcome(self) -> None:
        self.fields["outcome"] = forms.ChoiceField(
            label=_("What did you find out?"), choices=OUTCOMES, widget=forms.RadioSelect
        )
        self.fields["result"] = JSONField(
            label=_("Its result, if it happened"),
            help_text=_(
                "What the step would have returned, as a JSON object: later steps and the undo read it."
            ),
            required=False,
            widget=forms.Textarea({"rows": 4, "class": "saga-json"}),
        )

    def _ask_for_confirmation(self) -> None:
        self.fields["confirmation"] = forms.CharField(
            label=_("Type %(name)s to confirm") % {"name": name_of(self.saga)},
            help_text=_("What was done stays done, and nothing undoes it."),
            widget=forms.TextInput({"autocomplete": "off", "size": 40}),
        )


def needs_reason(operation: Operation) -> bool:
    """Say whether people have to say why."""
    return operation.needs_reason or operation.name in saga_settings().require_reason


def name_of(saga: Saga) -> str:
    """Return what people call a saga: its key, or the end of its id."""
    return saga.key or short(saga.pk)


def revision_seen(saga: Saga) -> int | None:
    """Return the revision to which a request is sealed, so that nobody acts on a state that is gone.

    None while the saga moves: then the revision changes while one reads, and a wish is heard at the next
    step border.
    """
    moves = saga.held_by is not None or (saga.due_at is not None and saga.due_at <= timezone.now())
    return None if moves else saga.revision
