"""`operate_sagas` and the commands that are named after an operation, and `create_saga_groups`."""

from __future__ import annotations

import json
import os
import signal
from io import StringIO
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command

from sagas.management.commandline import Interruption
from sagas.management.operating import operate
from sagas.models import HistoryEntry, Saga
from sagas.operations.performing import perform
from sagas.testing import run_due
from tests.doors.test_commands import refused, run

pytestmark = pytest.mark.django_db


def status(saga: Saga) -> str:
    saga.refresh_from_db()
    return str(saga.status)


def test_it_asks_an_operation_of_a_saga_and_says_who_and_why(sagas):
    saga = sagas.failed()
    out, err = run("operate_sagas", "retry", saga.pk, "--reason", "the bank is open")

    assert (out, err) == ("Retry was requested for 1 saga.\n", "")
    entry = HistoryEntry.objects.get(operation="retry")
    assert (entry.saga_id, entry.reason, entry.actor_kind) == (saga.pk, "the bank is open", "command")
    assert status(saga) == "running"


@pytest.mark.parametrize(
    ("command", "state", "now"),
    [
        ("retry_sagas", "failed", "running"),
        ("resume_sagas", "suspended", "pending"),
        ("compensate_sagas", "failed", "compensating"),
    ],
)
def test_some_operations_have_a_command_of_their_own(sagas, command, state, now):
    saga = getattr(sagas, state)()
    run(command, saga.pk)
    assert status(saga) == now


def test_arguments_are_passed_on(sagas):
    saga = sagas.unknown()
    run("operate_sagas", "resolve", saga.pk, "--step", "pay", "--outcome", "done", "--result", '{"ok": 1}')
    pay = saga.steps.get(name="pay")
    assert (pay.status, pay.result) == ("completed", {"ok": 1})


def test_filters_find_those_of_which_it_may_be_asked(sagas):
    failed, completed = [sagas.failed(), sagas.failed()], sagas.completed()
    out, _err = run("retry_sagas", "--definition", "samples.trip", "--no-input")

    assert out == "Retry was requested for 2 sagas.\n"
    assert [status(saga) for saga in (*failed, completed)] == ["running", "running", "completed"]
    assert not HistoryEntry.objects.filter(saga=completed, operation="retry").exists()


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        (("--status", "failed"), 3),
        (("--attention", "any"), 3),
        (("--attention", "crash_loop"), 0),
        (("--error-class", "RetryLater"), 3),
        (("--since", "1h"), 3),
        (("--since", "0"), 0),
        (("--before", "1h"), 0),
        (("--status", "failed", "--limit", "2"), 2),
    ],
)
def test_filters_narrow_it_down(sagas, filters, number):
    for _ in range(3):
        sagas.failed()
    out, _err = run("retry_sagas", *filters, "--no-input", "--json")
    assert json.loads(out)["requested"] == number


def test_those_that_failed_alike_may_be_meant(sagas):
    saga = sagas.failed()
    saga.refresh_from_db()
    run("retry_sagas", "--error-group", saga.error_fingerprint)
    assert status(saga) == "running"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "an empty filter would mean every saga there is"),
        ((str(uuid4()), "--status", "failed"), "name ids or a filter, and not both"),
        (("17",), "is no id of a saga"),
        (("--since", "soon"), "is no duration"),
        (("--status", "failed"), "Retry 2 sagas? Nobody is there to be asked. Add --no-input"),
    ],
)
def test_it_says_what_it_refuses_and_why(sagas, arguments, told):
    sagas.failed(), sagas.failed()
    assert told in str(refused("retry_sagas", *arguments))
    assert not HistoryEntry.objects.filter(operation="retry").exists()


@pytest.mark.parametrize(("answer", "number"), [("y\n", 2), ("\n", 0), ("no\n", 0)])
def test_it_asks_before_several(sagas, monkeypatch, answer, number):
    sagas.failed(), sagas.failed()
    stdin = StringIO(answer)
    stdin.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", stdin)
    if number:
        _out, err = run("retry_sagas", "--status", "failed")
        assert err == "Retry 2 sagas? [y/N] "
    else:
        assert str(refused("retry_sagas", "--status", "failed")) == "Nothing was done."
    assert HistoryEntry.objects.filter(operation="retry").count() == number


def test_what_was_refused_is_told_and_the_rest_is_done(sagas):
    failed, completed, nobody = sagas.failed(), sagas.completed(), uuid4()
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError) as refusal:
        call_command(
            "retry_sagas",
            str(failed.pk),
            str(completed.pk),
            str(nobody),
            "--no-input",
            stdout=out,
            stderr=err,
        )
    assert refusal.value.returncode == 3
    assert str(refusal.value) == "Retry was refused for 2 sagas."
    assert out.getvalue() == "Retry was requested for 1 saga.\n"
    assert "it has ended as completed" in err.getvalue()
    assert f"There is no saga {nobody}." in err.getvalue()
    assert status(failed) == "running"


def test_what_changed_since_it_was_chosen_is_left_alone(sagas, monkeypatch):
    saga = sagas.failed()

    def meanwhile(*args, **options):
        perform(saga.pk, "skip", by=None)
        perform(saga.pk, "suspend", by=None)
        return operate(*args, **options)

    monkeypatch.setattr("sagas.management.commands.operate_sagas.operate", meanwhile)
    with pytest.raises(CommandError):
        run("compensate_sagas", saga.pk)
    assert status(saga) == "suspended"


def test_a_dry_run_tells_the_plans_and_does_nothing(sagas):
    failed, completed = sagas.failed(), sagas.completed()
    out, err = run("compensate_sagas", failed.pk, completed.pk, "--dry-run")

    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert "failed  would be compensating; then undo book" in lines[str(failed.pk)]
    assert "completed  refused: it has ended as completed." in lines[str(completed.pk)]
    assert err == "Compensate would be asked of 2 sagas. Nothing was done.\n"
    assert status(failed) == "failed"


@pytest.mark.parametrize(
    ("answer", "code", "told"), [(None, 0, "1 completed"), (RuntimeError("down"), 4, "1 failed")]
)
def test_it_waits_until_workers_are_done(sagas, play, monkeypatch, answer, code, told):
    saga = sagas.failed()
    play.says("pay", answer)
    monkeypatch.setattr(Interruption, "wait", lambda self, length: run_due())
    out, err = StringIO(), StringIO()
    try:
        call_command("retry_sagas", str(saga.pk), "--wait", "30", stdout=out, stderr=err)
    except CommandError as error:
        assert error.returncode == code  # noqa: PT017
    else:
        assert code == 0
    assert f"They stand so: {told}." in out.getvalue()


def test_it_does_not_wait_for_ever(sagas):
    told = refused("retry_sagas", sagas.failed().pk, "--wait", "0")
    assert (told.returncode, str(told)) == (
        1,
        "Not waited for any longer: 1 saga at work. They go on by themselves.",
    )


def test_an_interruption_ends_it_after_the_saga_in_hand(sagas, monkeypatch):
    sagas.failed(), sagas.failed()

    def interrupt(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return perform(*args, **options)

    monkeypatch.setattr("sagas.management.operating.perform", interrupt)
    out = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("retry_sagas", "--status", "failed", "--no-input", stdout=out)
    assert end.value.code == 130
    assert out.getvalue() == "Retry was requested for 1 saga.\n"
    assert HistoryEntry.objects.filter(operation="retry").count() == 1


# create_saga_groups


def test_operators_may_act_and_viewers_may_look(db):
    run("create_saga_groups")

    viewer, operator = User.objects.create(username="viewer"), User.objects.create(username="operator")
    viewer.groups.add(Group.objects.get(name="Saga viewers"))
    operator.groups.add(Group.objects.get(name="Saga operators"))
    assert all(each.has_perm("sagas.view_saga") for each in (viewer, operator))
    assert all(each.has_perm("sagas.view_sagabatch") for each in (viewer, operator))
    may = {
        name
        for name in ("retry", "resume", "compensate", "resolve", "skip", "restart", "hold", "edit", "abandon")
        if operator.has_perm(f"sagas.{name}_saga")
    }
    assert may == {"retry", "resume", "compensate", "resolve", "skip", "restart", "hold"}
    assert not any(viewer.has_perm(f"sagas.{name}_saga") for name in may)


def test_groups_are_created_once_and_keep_what_was_added(db):
    assert run("create_saga_groups")[0].startswith("Created Saga viewers with ")
    group = Group.objects.get(name="Saga viewers")
    group.permissions.add(*Group.objects.get(name="Saga operators").permissions.all())
    before = group.permissions.count()

    assert run("create_saga_groups")[0].startswith("Kept Saga viewers with ")
    assert (Group.objects.count(), group.permissions.count()) == (2, before)
