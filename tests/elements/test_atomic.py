"""Steps whose writes commit with their outcome."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from sagas import Parallel, PermanentFailure, RetryLater, start_many
from sagas.definitions.checks import definition_problems
from sagas.engine.attempts import NotDone, Overtaken
from sagas.engine.tempo import Company
from sagas.models import Saga
from sagas.testing import advance, run_saga
from tests.engine.hands import Hand
from tests.engine.runs import run
from tests.samples import BANK, HOUR, STEADY, definition_of, postgresql_only, step


def writes(name):
    """Write a row, and say so."""

    def act(ctx):
        Group.objects.create(name=f"{name} {ctx.saga_id}")
        return {"wrote": name}

    return act


@pytest.mark.django_db
def test_it_runs_like_any_step(define, play):
    play.always("post", writes("post"))
    saga = run_saga(define(step("post", atomic=True), step("tell")), {})
    assert (saga.status, Group.objects.count()) == ("completed", 1)


@pytest.mark.django_db
@pytest.mark.parametrize("error", [ValueError("no"), PermanentFailure("no"), IntegrityError("twice")])
def test_what_a_failed_attempt_wrote_is_gone(define, play, error):
    def act(ctx):
        writes("post")(ctx)
        raise error

    play.always("post", act)
    saga = run_saga(define(step("book"), step("post", atomic=True, retry=STEADY)), {})
    advance(HOUR)
    saga.refresh_from_db()
    assert (saga.status, Group.objects.count()) == ("compensated", 0)
    assert "undo post" not in play.calls  # Nothing is in doubt.


@pytest.mark.django_db(transaction=True)
def test_a_group_shares_a_transaction(define, play):
    play.always("post", writes("post"))
    start_many(define(step("post", atomic=True), step("tell")), [{}] * 5)
    hand = Hand()
    settlement = hand.perform(hand.take())
    assert {attempt.step.name for attempt in settlement.attempts} == {"tell"}
    assert Group.objects.count() == 5


@postgresql_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("trusting", "each"), [(False, 3), (True, 1)])
def test_those_that_are_trusted_cost_their_own_statements_and_no_more(define, play, trusting, each):
    play.always("post", writes("post"))
    start_many(define(step("post", atomic=True)), [{}] * 40)
    hand = Hand()
    counts = []
    for few in (4, 16):
        group = hand.take(limit=few)
        with CaptureQueriesContext(connection) as made:
            hand.perform(group, trusting=trusting)
        counts.append(len(made))
    assert counts[1] - counts[0] == 12 * each


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [ValueError("no"), PermanentFailure("no"), RetryLater(), SystemExit(1)])
def test_when_trust_is_disappointed_nothing_of_the_group_has_happened(define, play, error):
    def act(ctx):
        writes("post")(ctx)
        if ctx.saga_id == bad.pk:
            raise error

    play.always("post", act)
    sagas = start_many(define(step("post", atomic=True, retry=STEADY)), [{}] * 3)
    bad = sagas[1]
    hand = Hand()
    group = hand.take()
    with pytest.raises(NotDone):
        hand.perform(group, trusting=True)
    assert Group.objects.count() == 0
    hand.perform(group)
    assert Group.objects.count() == 2


def test_a_company_is_wary_for_a_while_after_one_failed():
    company = Company()
    company.lose_trust()
    for _ in range(Company.wary_for):
        assert not company.is_trusting
        company.note(0.001)
    assert company.is_trusting


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_deferred_constraint_fails_in_the_step_that_violates_it_and_not_at_everybodys_commit(define, play):
    def act(ctx):
        writes("post")(ctx)
        if ctx.saga_id == bad.pk:
            User.groups.through.objects.create(user_id=404, group_id=404)

    play.always("post", act)
    sagas = start_many(define(step("post", atomic=True, retry=STEADY)), [{}] * 3)
    bad = sagas[1]
    hand = Hand()
    hand.perform(hand.take())
    assert Group.objects.count() == 2
    assert Saga.objects.get(pk=bad.pk).steps.get().error_class == "IntegrityError"


@pytest.mark.django_db(transaction=True)
def test_steps_side_by_side_may_share_it_too(define, play):
    play.always("a", writes("a"))
    play.always("b", writes("b"))
    start_many(define(Parallel(step("a", atomic=True), step("b", atomic=True))), [{}])
    hand = Hand()
    hand.perform(hand.take())
    assert (Saga.objects.get().status, Group.objects.count()) == ("completed", 2)


@pytest.mark.django_db(transaction=True)
def test_one_that_was_given_up_meanwhile_voids_what_it_wrote(define, play):
    play.always("post", writes("post"))
    start_many(define(step("post", atomic=True)), [{}] * 2)
    hand = Hand()
    attempts = hand.take()
    Saga.objects.filter(pk=attempts[0].held.id).update(fence=99)
    with pytest.raises(Overtaken):
        hand.perform(attempts)
    assert Group.objects.count() == 0
    hand.perform(attempts[1:])
    assert Group.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_whose_worker_died_goes_out_again_without_a_doubt(define, play):
    play.always("post", writes("post"))
    [saga] = start_many(define(step("post", atomic=True)), [{}])
    Hand().take()
    Saga.objects.filter(pk=saga.pk).update(due_at=saga.created_at)
    [attempt] = Hand().take()
    post = saga.steps.get()
    assert (attempt.number, post.in_doubt, post.crashes) == (2, False, 1)


@postgresql_only
@pytest.mark.django_db(transaction=True)
def test_a_runner_makes_them_in_groups_and_a_bad_one_harms_no_other(define, play):
    def act(ctx):
        Group.objects.create(name=str(ctx.saga_id))
        if ctx.saga_id == bad.pk and ctx.attempt == 1:
            Group.objects.create(name=str(ctx.saga_id))  # Not unique.

    play.always("post", act)
    sagas = start_many(define(step("post", atomic=True, retry=STEADY), step("tell")), [{}] * 60)
    bad = sagas[30]
    run()
    assert Group.objects.count() == 59
    assert set(Saga.objects.exclude(pk=bad.pk).values_list("status", flat=True)) == {"completed"}
    assert Saga.objects.get(pk=bad.pk).steps.get(name="post").waits_for == "retry"


def test_what_cannot_be_atomic():
    def problems(**options):
        return [
            problem.id for problem in definition_problems(definition_of(step("a", atomic=True, **options)))
        ]

    assert problems() == []
    assert problems(asynchronous=True) == ["sagas.E016"]
    assert problems(participant=BANK) == ["sagas.E016"]
    assert problems(isolated=True) == ["sagas.E016"]
