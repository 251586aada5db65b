"""Keys stay what they are: another process, host or release must come to the same."""

from __future__ import annotations

import os
import subprocess
import sys
from uuid import UUID

import pytest
from django.conf import settings

from sagas.keys import MAX_KEY, new_saga_id, render_key, saga_id_for, step_key, template_names
from sagas.states import Direction

SAGA = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.mark.parametrize(
    ("step", "direction", "key"),
    [
        ("charge", Direction.FORWARD, "6f7aacab-9422-5100-855d-fda5fb3c9a5d"),
        ("charge", Direction.BACK, "5e021dd6-2bff-5065-8021-8f8e34351829"),
        ("book", Direction.FORWARD, "b1b27f09-395c-5409-bcdf-78be9991a760"),
    ],
)
def test_the_key_of_a_step_never_changes(step, direction, key):
    assert step_key(SAGA, step, direction) == key


def test_every_saga_step_and_direction_has_a_key_of_its_own():
    keys = {
        step_key(saga, step, direction)
        for saga in (SAGA, UUID(int=1))
        for step in ("charge", "charges", "book")
        for direction in Direction
    }
    assert len(keys) == 12


def test_the_id_of_a_saga_started_under_a_key_never_changes():
    assert saga_id_for("k-1", client="shop", definition="orders.place_order") == UUID(
        "0fa44d21-172d-55b6-9b8c-565930a0a18b"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"idempotency_key": "k-2", "client": "shop", "definition": "orders.place_order"},
        {"idempotency_key": "k-1", "client": "till", "definition": "orders.place_order"},
        {"idempotency_key": "k-1", "client": "shop", "definition": "orders.return_order"},
        {"idempotency_key": "k-1", "client": "", "definition": "shop\x1forders.place_order"},
        {"idempotency_key": "-1", "client": "shop", "definition": "orders.place_orderk"},
    ],
)
def test_clients_and_definitions_do_not_share_keys(other):
    assert saga_id_for(**other) != saga_id_for("k-1", client="shop", definition="orders.place_order")


def test_another_process_comes_to_the_same_keys():
    code = (
        "from uuid import UUID; from sagas.keys import step_key; from sagas.states import Direction; "
        f"print(step_key(UUID({str(SAGA)!r}), 'charge', Direction.BACK))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=settings.BASE_DIR,
    )
    assert said.stdout.strip() == str(step_key(SAGA, "charge", Direction.BACK))


def test_ids_of_sagas_sort_by_their_age():
    ids = [new_saga_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}
    assert {type(each) for each in ids} == {UUID}


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("order:{order_id}", {"order_id"}),
        ("{a}{b}-{a}", {"a", "b"}),
        ("{reserve.batch}:{a}", {"reserve.batch", "a"}),
        ("everyone", set()),
        ("{{literal}}", set()),
    ],
)
def test_the_names_a_template_asks_for(template, names):
    assert template_names(template) == names


@pytest.mark.parametrize(
    "template", ["{a.}", "{.a}", "{a[0]}", "{a!s}", "{a:x}", "{0}", "{}", "{a b}", "{a", "a}"]
)
def test_a_template_holds_plain_names_only(template):
    with pytest.raises(ValueError):  # noqa: PT011  (any text: some is Python's own)
        template_names(template)


def test_a_key_is_filled_from_the_input():
    assert render_key("order:{order_id}", {"order_id": 7, "more": "x"}) == "order:7"
    assert render_key("{{{order_id}}}", {"order_id": "{x}"}) == "{{x}}"


def test_a_key_fits_its_column():
    assert len(render_key("{a}", {"a": "x" * MAX_KEY})) == MAX_KEY
    with pytest.raises(ValueError, match=r"has 201 characters, more than 200"):
        render_key("{a}", {"a": "x" * (MAX_KEY + 1)})
