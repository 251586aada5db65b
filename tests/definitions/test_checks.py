"""What can be wrong with a definition: each check by its id, with its text."""

from __future__ import annotations

import functools

import pytest
from django.core.checks import Error, run_checks
from rest_framework import serializers

from sagas import HALT, Parallel, SagaDefinition, Step, register, start
from sagas.checks import check_definitions
from sagas.definitions import registry
from sagas.exceptions import DefinitionError
from tests.samples import BANK, Nothing, OrderInput, Play, definition_of, step


def found(definition: type[SagaDefinition]) -> list[Error]:
    """Return what the system checks say of it; of all other definitions they say nothing."""
    return [each for each in check_definitions() if isinstance(each, Error)]


def test_a_right_definition_has_nothing_wrong(define):
    definition = define(
        step("book", participant=BANK),
        Parallel(step("pay"), step("look", read_only=True), step("mail", irrevocable="a mail is out")),
        step("send", pivot=True, on_exhausted=HALT),
        step("tell", undo=False),
        step("remind", asynchronous=True, undo=False, name="remind_1"),
        input=OrderInput,
        key="order:{order_id}",
    )
    assert found(definition) == []


def test_the_checks_run_with_djangos(define):
    define(step("book", undo=False))
    assert [each.id for each in run_checks() if (each.id or "").startswith("sagas.E0")] == ["sagas.E002"]


def test_a_wrong_definition_cannot_be_started(define):
    definition = define(step("book", undo=False))
    with pytest.raises(DefinitionError) as refusal:
        start(definition, {})
    assert str(refusal.value) == (
        "No samples.trip saga can be started while its definition is wrong. sagas.E002: Step 'book' of "
        "samples.trip has no compensation, so a saga that turns back would leave its effect behind."
    )


def test_E001(define):
    class Twin(SagaDefinition):
        name = "samples.trip"
        input = Nothing
        steps = (step("book"),)

    define(step("book"))
    try:
        register(Twin)
        [error] = check_definitions()
    finally:
        registry.remove(Twin)
    assert error.id == "sagas.E001"
    assert error.msg == (
        "tests.definitions.test_checks.test_E001.<locals>.Twin and tests.samples.SamplesTrip are both named "
        "'samples.trip', so a stored saga could be either."
    )
    assert error.hint == "Give test_E001.<locals>.Twin a name of its own."


def test_E002(define):
    [error] = found(define(step("book", undo=False), step("send", pivot=True), step("tell", undo=False)))
    assert error.id == "sagas.E002"
    assert error.msg == (
        "Step 'book' of samples.trip has no compensation, so a saga that turns back would leave its effect "
        "behind."
    )
    assert (
        error.hint == "Give it compensation=…, or declare it read_only=True, irrevocable='why' or pivot=True."
    )


def test_E003(define):
    [error] = found(define(step("send", pivot=True), step("tell", pivot=True)))
    assert error.id == "sagas.E003"
    assert error.msg == "samples.trip has the pivots send, tell, and after the first there is no way back."
    assert error.hint == "Keep pivot=True on the one step that decides."


def test_E004(define):
    [error] = found(define(step("send", pivot=True), step("tell")))
    assert error.id == "sagas.E004"
    assert error.msg == (
        "Step 'tell' of samples.trip stands after the pivot and has a compensation, which could never run."
    )
    assert error.hint == "Remove the compensation, or move the pivot behind the step."


def test_E005(define):
    [error] = found(define(step("book"), Parallel(step("pay"), step("book"))))
    assert error.id == "sagas.E005"
    assert error.msg == "samples.trip has 2 steps named 'book', and a step is known by its name."
    assert error.hint == "Name the later ones: Step(…, name='…')."


def test_E006_a_thing_that_cannot_be_called(define):
    [error] = found(define(Step(step("book").action, compensation="undo", name="book")))  # type: ignore[arg-type]
    assert error.id == "sagas.E006"
    assert error.msg == "Step 'book' of samples.trip has 'undo' as its compensation, which cannot be called."
    assert error.hint is None


@pytest.mark.parametrize("nameless", [lambda ctx: None, functools.partial(print, "booked")])
def test_E006_a_function_without_a_name(define, nameless):
    [error] = found(define(Step(nameless, name="book", read_only=True)))
    assert error.id == "sagas.E006"
    assert error.msg == (
        "Step 'book' of samples.trip has a function without a name as its action, so no log or trace could "
        "name it."
    )
    assert error.hint == "Write it as a def at module level."


@pytest.mark.parametrize(
    "name", ["", "Trip", "a trip", "1trip", "trip.", ".trip", "a..b", "trip-1", "x" * 101]
)
def test_E007_the_name_of_a_definition(define, name):
    definition = define(step("book"), name=name)
    [error] = found(definition)
    assert error.id == "sagas.E007"
    assert error.msg == (
        f"tests.samples.{definition.__qualname__} has the name {name!r}, which is not lower-case words "
        "joined by dots."
    )
    assert error.hint == "Name it like 'orders.place_order', with at most 100 characters."


@pytest.mark.parametrize("name", ["Book", "book it", "<lambda>", "x" * 101])
def test_E007_the_name_of_a_step(define, name):
    [error] = found(define(step("book", name=name)))
    assert error.id == "sagas.E007"
    assert error.msg == f"samples.trip has a step named {name!r}, which is not a lower-case name."
    assert error.hint == "Give it one: Step(…, name='…')."


def test_E008_a_key_cannot_be_made_of_results(define):
    [error] = found(define(step("book"), input=OrderInput, key="{book.number}"))
    assert (
        error.msg
        == "The key '{book.number}' of samples.trip asks for book.number, which no input field gives."
    )


def test_E008_a_key_of_names_nobody_gives(define):
    [error] = found(define(step("book"), input=OrderInput, key="{order_id}:{city}:{day}"))
    assert error.id == "sagas.E008"
    assert error.msg == (
        "The key '{order_id}:{city}:{day}' of samples.trip asks for city, day, which no input field gives."
    )
    assert error.hint == "Use fields of OrderInput: order_id, amount."


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("{order_id!r}", "{order_id} is not a plain name"),
        ("{order_id:>9}", "{order_id} is not a plain name"),
        ("{0}", "{0} is not a plain name"),
        ("{}", "{} is not a plain name"),
        ("{order_id", "expected '}' before end of string"),
    ],
)
def test_E008_a_key_that_is_no_template(define, key, why):
    [error] = found(define(step("book"), input=OrderInput, key=key))
    assert error.id == "sagas.E008"
    assert error.msg == f"The key {key!r} of samples.trip is no key template: {why}."
    assert error.hint == "Write plain names of input fields in braces: 'order:{order_id}'."


@pytest.mark.parametrize("input", [None, dict, Nothing()])
def test_E009(define, input):
    [error] = found(define(step("book"), input=input))
    assert error.id == "sagas.E009"
    assert error.msg == (
        "tests.samples.SamplesTrip has no serializer as its input, so nothing says what a saga may be "
        "started with."
    )
    assert error.hint == "Set input to a rest_framework.serializers.Serializer subclass."


def test_E010_no_steps(define):
    [error] = found(define())
    assert error.id == "sagas.E010"
    assert error.msg == "tests.samples.SamplesTrip has no steps."
    assert error.hint == "List at least one Step in `steps`."


def test_E010_an_empty_parallel_is_no_step(define):
    [error] = found(define(Parallel()))
    assert (error.id, error.msg) == ("sagas.E010", "tests.samples.SamplesTrip has no steps.")


def test_E010_a_bare_function_among_the_steps(define):
    def book(ctx: object) -> None: ...

    [error] = found(define(book))
    assert error.id == "sagas.E010"
    assert error.msg == (
        f"tests.samples.SamplesTrip has {book!r} among its steps, which is no element of a saga."
    )
    assert error.hint == "Wrap the function: Step(function, compensation=…)."


def test_E010_a_parallel_within_a_parallel(define):
    inner = Parallel(step("pay"))
    [error] = found(define(Parallel(step("book"), inner)))  # type: ignore[arg-type]
    assert error.id == "sagas.E010"
    assert error.msg.startswith(f"tests.samples.SamplesTrip has {inner!r} among its steps")


@pytest.mark.parametrize(
    ("element", "kinds"),
    [
        (step("book", undo=True, read_only=True), "compensation and read_only"),
        (step("book", undo=True, irrevocable="it is gone"), "compensation and irrevocable"),
        (step("book", undo=True, pivot=True), "compensation and pivot"),
        (
            step("book", read_only=True, irrevocable="it is gone", pivot=True),
            "read_only and irrevocable and pivot",
        ),
    ],
)
def test_E011(define, element, kinds):
    [error] = found(define(element))
    assert error.id == "sagas.E011"
    assert error.msg == f"Step 'book' of samples.trip is declared {kinds}, and only one of them can be true."
    assert error.hint == "Keep the one that says how the step is undone."


def test_E012(define):
    [error] = found(define(Parallel(step("book"), step("send", pivot=True))))
    assert error.id == "sagas.E012"
    assert error.msg == (
        "The pivot 'send' of samples.trip runs beside other steps, which might fail after it."
    )
    assert error.hint == "Give the pivot a stage of its own, outside Parallel."


def test_all_that_is_wrong_is_told_at_once(define, play: Play):
    class Wide(serializers.Serializer[object]):
        pass

    definition = definition_of(
        step("book", undo=False), step("book", undo=False), step("Send", pivot=True), input=Wide, key="{x}"
    )
    registry.add(definition)
    try:
        assert sorted(each.id or "" for each in found(definition)) == [
            "sagas.E002",
            "sagas.E005",
            "sagas.E007",
            "sagas.E008",
        ]
    finally:
        registry.remove(definition)
