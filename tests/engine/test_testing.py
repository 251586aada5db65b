"""What authors test their sagas with is the engine itself, on a clock that they move."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from sagas import RetryLater, RetryPolicy, StepContext, clock, start
from sagas.clock import database_now
from sagas.keys import step_key
from sagas.models import Saga
from sagas.states import Direction
from sagas.testing import advance, make_context, run_due, run_saga
from tests.samples import HOUR, MINUTE, STEADY, OrderInput, step


class TestContexts:
    def test_a_context_has_what_was_given(self):
        ctx = make_context("pay", input={"n": 1}, results={"book": {"ref": 2}}, attempt=3, key="k")
        assert (ctx.input, ctx.results, ctx.attempt, ctx.key) == ({"n": 1}, {"book": {"ref": 2}}, 3, "k")
        assert (ctx.undoes, ctx.result) == (None, None)

    def test_an_action_and_its_compensation_meet_by_their_keys(self):
        saga_id = uuid4()
        action = make_context(step("pay"), saga_id=saga_id)
        undo = make_context("pay", saga_id=saga_id, undo=True, result={"paid": 1})
        assert undo.undoes == action.idempotency_key == step_key(saga_id, "pay", Direction.FORWARD)
        assert undo.idempotency_key == step_key(saga_id, "pay", Direction.BACK)
        assert undo.result == {"paid": 1}

    def test_without_a_saga_each_context_is_of_another(self):
        assert make_context("pay").saga_id != make_context("pay").saga_id

    def test_it_is_what_the_engine_gives(self, define, play, db):
        saga = run_saga(define(step("book"), step("pay")), {})
        real = play.context("pay")
        made = make_context("pay", saga_id=saga.pk, results={"book": {}})
        for name in ("saga_id", "key", "input", "results", "attempt", "idempotency_key", "undoes", "result"):
            assert getattr(made, name) == getattr(real, name)


@pytest.mark.django_db
class TestDriving:
    def test_a_saga_is_started_as_by_start_and_run_to_its_rest(self, define):
        definition = define(step("book"), input=OrderInput, key="order:{order_id}")
        saga = run_saga(definition, {"order_id": "7"}, by="shop")
        assert (saga.status, saga.key, saga.started_by) == ("completed", "order:7", "shop")

    def test_every_saga_that_is_due_runs(self, define):
        definition = define(step("book"))
        for _ in range(3):
            start(definition, {})
        run_due()
        assert Saga.objects.filter(status="completed").count() == 3

    def test_everything_runs_at_its_time_on_the_way(self, define, play):
        times = []

        def note(ctx: StepContext) -> None:
            times.append(database_now("default"))
            raise RetryLater("busy")

        play.always("pay", note)
        began = database_now("default")
        run_saga(define(step("pay", retry=STEADY)), {})
        advance(HOUR)
        assert [round((time - began).total_seconds()) for time in times] == [0, 10, 20]
        assert database_now("default") - began >= HOUR

    def test_a_step_that_wants_no_delay_for_ever_is_found_out(self, define, play, monkeypatch):
        monkeypatch.setattr("sagas.testing.MOST_ROUNDS", 5)
        play.says("look", *[RetryLater("busy", delay=timedelta(0))] * 100)
        tireless = RetryPolicy(attempts=None, give_up_after=HOUR)
        with pytest.raises(AssertionError, match="Sagas were still due after 5 rounds"):
            run_saga(define(step("look", read_only=True, retry=tireless)), {})

    def test_time_moves_for_the_whole_process_and_back_when_the_test_ends(self):
        before = database_now("default")
        clock.shift(HOUR)
        assert database_now("default") - before >= HOUR
        clock.reset()
        assert database_now("default") - before < MINUTE
