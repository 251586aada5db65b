"""What is wrong with a subscription or a choreography is said before an event comes."""

from __future__ import annotations

import pytest

from sagas import Choreography, subscribe
from sagas.definitions import choreographies, subscriptions
from sagas.definitions.choreographies import Choreographies
from sagas.definitions.event_checks import event_problems
from sagas.definitions.subscriptions import Subscriptions


def found(listener):
    return [problem.id for problem in event_problems(subscriptions, Choreographies())]


def test_okay(listener):
    listener.on("ticket.sold")
    listener.on("order.undo", undoes="ticket.sold")
    assert found(listener) == []


def test_E030(listener):
    listener.on("a", name="tests.same")

    def another(event):
        pass

    subscribe("a", name="tests.same")(another)
    [problem] = event_problems(subscriptions, Choreographies())
    assert (problem.id, problem.message) == (
        "sagas.E030",
        "Two functions subscribe to 'a' under the name 'tests.same', so an event that waits could be "
        "either's.",
    )
    assert problem.hint == "Name one of them: subscribe(…, name='…')."


@pytest.mark.parametrize("topic", ["", "a:b", "x" * 101])
def test_E031(listener, topic):
    listener.on(topic, name="tests.odd")
    assert found(listener) == ["sagas.E031"]


@pytest.mark.parametrize("name", ["sagas", "x" * 201])
def test_E032(listener, name):
    listener.on("a", name=name)
    assert found(listener) == ["sagas.E032"]


def test_E033(choreography):

    first = choreography("tests.one", starts="a", ends="b")
    choreography("tests.two", starts="a", ends="c")
    [problem] = event_problems(Subscriptions(), choreographies)
    assert (problem.id, problem.message) == (
        "sagas.E033",
        "Choreography 'tests.two' starts with 'a', and so does another: an event belongs to one case.",
    )
    assert choreographies.started_by("a") is first


def test_E034(listener):
    listener.on("a", undoes="a")
    assert found(listener) == ["sagas.E034"]


def test_E035(choreography):

    choreography("tests.both", starts="a", ends=["b", "c"], undone="c")
    [problem] = event_problems(Subscriptions(), choreographies)
    assert (problem.id, problem.message) == (
        "sagas.E035",
        "Choreography 'tests.both' both ends and is undone with c.",
    )


def test_a_module_that_is_reloaded_subscribes_once(listener):
    def handle(event):
        pass

    for _ in range(2):
        subscribe("a", name="tests.reloaded")(handle)
    assert len(subscriptions.to("a")) == 1
    assert found(listener) == []
    subscriptions.remove("tests.reloaded")


def test_a_choreography_that_is_declared_anew_replaces_the_old(choreography):

    choreography("tests.again", starts="a", ends="b")
    newer = choreography("tests.again", starts="a", ends="c")
    assert (choreographies.get("tests.again"), choreographies.started_by("a")) == (newer, newer)
    assert isinstance(newer, Choreography)
