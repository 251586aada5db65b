"""Sagas started by hand in the admin, and the form that is drawn from their input."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import reverse
from rest_framework import serializers

from sagas import HALT, RetryLater, start
from sagas.admin.inputs import InputForm
from sagas.models import Saga
from sagas.testing import run_saga
from tests.doors.pages import Page
from tests.samples import ONCE, OrderInput, step

pytestmark = pytest.mark.django_db


class Line(serializers.Serializer):
    sku = serializers.CharField()
    quantity = serializers.IntegerField()


class EveryInput(serializers.Serializer):
    """A field of every kind."""

    name = serializers.CharField(max_length=10)
    note = serializers.CharField(required=False, allow_blank=True)
    number = serializers.IntegerField(min_value=1)
    weight = serializers.FloatField(required=False)
    amount = serializers.DecimalField(max_digits=8, decimal_places=2)
    id = serializers.UUIDField()
    mail = serializers.EmailField()
    day = serializers.DateField()
    at = serializers.DateTimeField(required=False)
    colour = serializers.ChoiceField(choices=["red", "green"], default="green")
    gift = serializers.BooleanField(default=False)
    lines = Line(many=True)
    secret = serializers.CharField(required=False)


FILLED = {
    "name": "Ada",
    "number": "3",
    "amount": "12.50",
    "id": "6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c11",
    "mail": "ada@example.com",
    "day": "2026-11-25",
    "colour": "red",
    "gift": "on",
    "lines": '[{"sku": "kettle", "quantity": 1}]',
}
STORED = {
    "name": "Ada",
    "number": 3,
    "amount": "12.50",
    "id": "6b1f5f0e-7e8c-4f5a-9b0a-0d8e5a2f3c11",
    "mail": "ada@example.com",
    "day": "2026-11-25",
    "colour": "red",
    "gift": True,
    "lines": [{"sku": "kettle", "quantity": 1}],
}


def url(name: str) -> str:
    return reverse("admin:sagas_saga_start", args=[name])


def filled(**values: str) -> dict[str, str]:
    given = FILLED | values
    return {"once": str(uuid4())} | {f"input-{name}": value for name, value in given.items()}


@pytest.fixture
def every(define):
    return define(step("a"), name="samples.every", input=EveryInput)


def test_the_form_has_a_field_for_every_field_of_the_input(admin, every):
    page = Page(admin.get(url("samples.every")))

    drawn = {
        (each.get("name") or "").removeprefix("input-")
        for tag in ("input", "select", "textarea")
        for each in page.all(tag)
    }
    assert set(EveryInput().fields) <= drawn
    assert page.all("input", type="date", name="input-day")
    assert page.all("option", value="green", selected="")


def test_what_is_filled_in_is_started(admin, every):
    response = admin.post(url("samples.every"), filled())

    saga = Saga.objects.get()
    assert response["Location"] == reverse("admin:sagas_saga_change", args=[saga.pk])
    assert saga.input == STORED
    assert saga.started_by == "root"


def test_however_often_it_is_sent_one_saga_is_started(admin, every):
    data = filled()
    first, second = admin.post(url("samples.every"), data), admin.post(url("samples.every"), data)

    assert first["Location"] == second["Location"]
    assert Saga.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "x" * 11, "Ensure this field has no more than 10 characters."),
        ("number", "0", "Ensure this value is greater than or equal to 1."),
        ("id", "17", "Enter a valid UUID."),
        ("lines", "[{]", "Enter a valid JSON."),
        ("lines", "[{}]", "This field is required."),
        ("mail", "", "This field is required."),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(admin, every, field, value, sentence):
    page = Page(admin.post(url("samples.every"), filled(**{field: value})))

    assert sentence in page.text
    assert page.all("input", name="input-amount", value="12.50")
    assert not Saga.objects.exists()


def test_a_key_that_a_live_saga_holds_is_refused_with_a_link_to_that(admin, define):
    definition = define(step("a"), input=OrderInput, key="order:{order_id}")
    live = start(definition, {"order_id": "7"})

    page = Page(admin.post(url("samples.trip"), {"once": str(uuid4()), "input-order_id": "7"}))

    assert "holds the key 'order:7'" in page.text
    assert reverse("admin:sagas_saga_change", args=[live.pk]) in page.links
    assert not page.all("input", name="key")


def test_a_definition_without_a_key_of_its_own_asks_for_one(admin, define):
    define(step("a"), input=OrderInput)

    admin.post(url("samples.trip"), {"once": str(uuid4()), "input-order_id": "7", "key": "mine"})

    assert Saga.objects.get().key == "mine"


@pytest.mark.parametrize(
    ("codenames", "status"), [(["view_saga"], 403), (["start_saga"], 200), (["hold_saga"], 403)]
)
def test_starting_takes_the_definitions_own_permission(client, users, define, codenames, status):
    define(step("a"), input=OrderInput)
    define(step("a"), name="samples.other", input=OrderInput, start_permission="sagas.hold_saga")
    client.force_login(users.staff(*codenames))

    assert client.get(url("samples.trip")).status_code == status
    assert client.post(url("samples.trip"), {}).status_code == status
    offered = Page(client.get(reverse("admin:sagas_saga_choose"))).links
    assert (url("samples.trip") in offered) is ("start_saga" in codenames)
    assert (url("samples.other") in offered) is ("hold_saga" in codenames)
    assert client.get(url("samples.nothing")).status_code == 404
    assert client.delete(url("samples.trip")).status_code == 405


@pytest.fixture
def stopped(define, play) -> Saga:
    """A saga that halted, with something in its input that is not for everybody."""
    definition = define(
        step("a", retry=ONCE), name="samples.every", input=EveryInput, sensitive=["mail"], on_exhausted=HALT
    )
    play.says("a", RetryLater("no"))
    return run_saga(definition, STORED | {"secret": "s3cret"})


def edit(client, saga: Saga, **data: str):
    operate = reverse("admin:sagas_saga_operate", args=[saga.pk, "edit"])
    return client.post(operate, {"revision": saga.revision} | data)


def test_an_edit_replaces_what_was_changed_and_shows_it(admin, stopped):
    data = filled(name="Grace", secret="s3cret")

    shown = Page(edit(admin, stopped, _preview="1", **data))
    assert "What will happen" in shown.text
    stopped.refresh_from_db()
    assert stopped.input["name"] == "Ada"

    assert edit(admin, stopped, **data).status_code == 303
    stopped.refresh_from_db()
    assert stopped.input == STORED | {"name": "Grace", "secret": "s3cret"}
    [entry] = stopped.history.filter(kind="act")
    assert entry.data == {"before": {"name": "Ada"}, "after": {"name": "Grace"}}
    page = Page(admin.get(reverse("admin:sagas_saga_change", args=[stopped.pk])))
    assert '- input.name = "Ada"' in page.text
    assert '+ input.name = "Grace"' in page.text


def test_what_is_hidden_from_an_operator_stays_as_it_is(client, users, stopped):
    client.force_login(users.staff("view_saga", "edit_saga"))
    page = Page(client.get(reverse("admin:sagas_saga_operate", args=[stopped.pk, "edit"])))
    assert not page.all("input", name="input-mail")
    assert not page.all("input", name="input-secret")

    assert edit(client, stopped, **filled(name="Grace")).status_code == 303
    stopped.refresh_from_db()
    assert stopped.input == STORED | {"name": "Grace", "secret": "s3cret"}


def test_a_form_without_changes_changes_nothing(every):
    form = InputForm.of(every, filled(), now=STORED)

    assert form.is_valid()
    assert form.changes() == {}
