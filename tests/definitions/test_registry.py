"""Definitions by name."""

from __future__ import annotations

import pytest

from sagas import SagaDefinition, register
from sagas.definitions.registry import Registry
from sagas.exceptions import UnknownDefinition


class Trip(SagaDefinition):
    name = "samples.trip"


class Hike(SagaDefinition):
    name = "samples.hike"


class OtherTrip(SagaDefinition):
    name = "samples.trip"


def test_a_definition_is_known_by_its_name():
    registry = Registry()
    registry.add(Trip)
    registry.add(Hike)
    assert registry.named("samples.trip") is registry["samples.trip"] is Trip
    assert dict(registry) == {"samples.trip": Trip, "samples.hike": Hike}
    assert len(registry) == 2


def test_an_unknown_name_is_answered_with_those_that_are_known():
    registry = Registry()
    registry.add(Trip)
    registry.add(Hike)
    with pytest.raises(UnknownDefinition) as error:
        registry.named("samples.swim")
    assert str(error.value) == (
        "There is no saga definition 'samples.swim'. Registered are: samples.hike, samples.trip. "
        "Definitions are found in the `sagas` module of every installed app."
    )


def test_an_empty_registry_says_so():
    with pytest.raises(UnknownDefinition, match="Registered are: none"):
        Registry().named("samples.trip")


def test_the_first_to_take_a_name_keeps_it_and_the_second_is_remembered():
    registry = Registry()
    registry.add(Trip)
    registry.add(OtherTrip)
    assert registry["samples.trip"] is Trip
    assert registry.clashes == [OtherTrip]


def test_a_module_that_is_loaded_again_replaces_what_it_defined():
    registry = Registry()
    registry.add(Trip)
    anew = type("Trip", (SagaDefinition,), {"name": "samples.trip", "__module__": __name__})
    registry.add(anew)
    assert registry["samples.trip"] is anew
    assert registry.clashes == []


def test_what_was_removed_is_forgotten():
    registry = Registry()
    for definition in (Trip, OtherTrip):
        registry.add(definition)
    registry.remove(OtherTrip)
    assert registry.clashes == []
    assert registry["samples.trip"] is Trip
    registry.remove(Trip)
    assert not registry
    registry.remove(Trip)


def test_register_is_a_decorator_that_returns_what_it_decorates(define):
    definition = define(name="samples.decorated")
    assert register(definition) is definition
