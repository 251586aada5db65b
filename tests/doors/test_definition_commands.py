"""The commands that look at definitions: what may go wrong, what a deployment would break, pictures."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError

from sagas import Migration, RetryLater, start, start_many
from sagas.definitions import registry
from sagas.models import Saga
from sagas.testing import run_due, run_saga
from tests.doors.test_commands import refused, run
from tests.samples import HOUR, step

pytestmark = pytest.mark.django_db

BUSY = RetryLater("busy", delay=HOUR)


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_explore_saga_shows_what_becomes_of_each_thing_that_goes_wrong(define):
    define(step("book"), step("pay", pivot=True))
    out, _err = run("explore_saga", "samples.trip")
    told = [" ".join(line.split()) for line in out.splitlines()]
    assert told[0].startswith("WHAT GOES WRONG")
    assert "pay is refused book, pay, undo book compensated" in told
    assert "undo book is refused book, undo book failed a compensation failed book" in told


def test_explore_saga_as_json_is_one_object_a_line(define):
    define(step("book"))
    out, _err = run("explore_saga", "samples.trip", "--json")
    first = json.loads(out.splitlines()[0])
    assert (first["trouble"], first["status"], first["calls"]) == ("cancelled before book", "compensated", [])


@pytest.mark.parametrize("command", ["explore_saga", "draw_saga"])
def test_a_definition_that_is_not_there_is_told(command):
    with pytest.raises(CommandError, match="no saga definition 'nobody"):
        run(command, "nobody.knows")


def test_draw_saga_draws_for_mermaid_and_graphviz(define):
    define(step("book"), step("pay", pivot=True))
    out, _err = run("draw_saga", "samples.trip")
    assert out.startswith("flowchart LR\n")
    assert 's1{{"pay"}}' in out
    out, _err = run("draw_saga", "samples.trip", "--format", "dot")
    assert out.splitlines() == [
        'digraph "samples.trip" {',
        "    rankdir=LR; node [shape=box];",
        "    started [shape=oval];",
        "    completed [shape=oval];",
        '    s0 [label="book"];',
        "    started -> s0;",
        '    s1 [label="pay", shape=hexagon];',
        "    s0 -> s1;",
        "    s1 -> completed;",
        '    us0 [label="undo_book"];',
        "    s0 -> us0 [style=dotted];",
        "}",
    ]


# saga_drift


def test_saga_drift_is_content_with_what_fits(define):
    start(define(step("book")), {})
    assert run("saga_drift", "--check") == ("Every live saga fits this code.\n", "")


def test_saga_drift_tells_what_the_code_would_halt_and_that_halts(define, play):
    definition = define(step("book"), step("pay"))
    completed = run_saga(definition, {})
    play.always("pay", BUSY)
    stuck = [run_saga(definition, {}), run_saga(definition, {})]
    define(step("book"), step("charge"), version=2)
    error = refused("saga_drift", "--check")
    assert error.returncode == 4
    assert str(error).startswith("2 sagas do not fit this code.")
    out, _err = run("saga_drift")
    assert [line[:4] for line in rows(out)[1:]] == [["samples.trip", "1", "2", str(stuck[0].pk)]]
    assert "no longer has, or no longer undoes, pay: they would halt" in out
    Saga.objects.filter(pk__in=[saga.pk for saga in stuck]).update(due_at=completed.created_at)
    run_due()
    assert set(Saga.objects.exclude(pk=completed.pk).values_list("attention")) == {("definition_drift",)}


def test_saga_drift_knows_the_migrations_and_carries_none_out(define, play):
    play.always("pay", BUSY)
    saga = run_saga(define(step("book"), step("pay")), {})
    define(step("book"), step("charge"), version=2, migrations={1: Migration(renamed={"pay": "charge"})})
    assert run("saga_drift", "--check")[0] == "Every live saga fits this code.\n"
    assert set(saga.steps.values_list("name", flat=True)) == {"book", "pay"}


def test_saga_drift_tells_of_sagas_that_no_code_here_runs(define):
    newer, gone = define(step("a"), name="samples.newer", version=3), define(step("a"), name="samples.gone")
    for definition in (newer, gone):
        start_many(definition, [{}] * 3)
    registry.remove(gone)
    define(step("a"), name="samples.newer", version=2)
    out, _err = run("saga_drift", "--json")
    told = {each["definition"]: (each["sagas"], each["why"]) for each in map(json.loads, out.splitlines())}
    assert told["samples.gone"] == (3, "no installed app has this definition: they wait for code that has it")
    assert told["samples.newer"] == (3, "the code has version 2: they wait for code that has theirs")
    out, _err = run("saga_drift", "--json", "--definition", "samples.gone")
    assert len(out.splitlines()) == 1


def test_saga_drift_looks_at_all_of_many(define, monkeypatch):
    monkeypatch.setattr("sagas.operations.drift.AT_ONCE", 2)
    start_many(define(step("a")), [{}] * 5)
    define(step("b"), version=2)
    assert refused("saga_drift", "--check").args[0].startswith("5 sagas")
