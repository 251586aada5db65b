"""``sync_schedules``, and what django-q2's scheduler makes of its schedules."""

from __future__ import annotations

import ast
import json
from datetime import timedelta
from pydoc import locate

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage

from sagas import idempotency
from sagas.models import IdempotencyRecord
from sagas.queue.schedules import PLANNED, PURGE, RECOVER, install
from sagas.queue.tasks import purge
from sagas.wake import queue_name
from tests.doors.test_commands import refused, run
from tests.queue.test_broker import in_another_thread

pytestmark = pytest.mark.django_db


def sync(*arguments: str) -> dict[str, str]:
    out, _err = run("sync_schedules", "--json", *arguments)
    return dict(json.loads(out))


def test_they_are_installed_once():
    assert sync("--install") == {"sagas: recover": "created", "sagas: purge": "created"}
    before = list(Schedule.objects.order_by("pk").values())

    assert sync("--install") == {"sagas: recover": "kept", "sagas: purge": "kept"}
    assert list(Schedule.objects.order_by("pk").values()) == before


def test_what_was_changed_is_put_right_and_its_next_run_left_alone():
    install()
    soon = timezone.now() + timedelta(seconds=40)
    Schedule.objects.filter(name=RECOVER.name).update(minutes=30, repeats=0, next_run=soon)

    assert sync("--show")[RECOVER.name] == "differs from what --install would write"
    assert sync("--install") == {RECOVER.name: "changed", PURGE.name: "kept"}
    schedule = Schedule.objects.get(name=RECOVER.name)
    assert (schedule.minutes, schedule.repeats, schedule.next_run) == (1, -1, soon)


def test_doubles_are_taken_away():
    install()
    Schedule.objects.create(name=RECOVER.name, func=RECOVER.func)

    assert sync("--install")[RECOVER.name] == "changed"
    assert Schedule.objects.filter(name=RECOVER.name).count() == 1


def test_they_can_be_shown_and_removed_and_others_are_left_alone():
    Schedule.objects.create(name="the shop's own", func="shop.tasks.tidy")
    assert set(sync("--show").values()) == {"not installed"}
    install()
    shown = sync("--show")
    assert shown[RECOVER.name].startswith("every 1 min, next at 20")
    assert shown[PURGE.name].startswith("every 60 min, next at 20")

    assert sync("--remove") == {RECOVER.name: "removed", PURGE.name: "removed"}
    assert sync("--remove") == {}
    assert run("sync_schedules", "--remove") == ("None is installed.\n", "")
    assert Schedule.objects.get().name == "the shop's own"


def test_it_is_told_for_people_too():
    out, _err = run("sync_schedules", "--install")
    assert out == "sagas: recover  created\nsagas: purge    created\n"


def test_what_is_to_be_done_has_to_be_said():
    assert "one of the arguments --install --remove --show is required" in str(refused("sync_schedules"))


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_no_doubles():
    for thread in [in_another_thread(install) for _ in range(6)]:
        thread.join()
    assert sorted(Schedule.objects.values_list("name", flat=True)) == [PURGE.name, RECOVER.name]


def test_the_scheduler_queues_them_for_the_workers_that_run_sagas(monkeypatch):
    monkeypatch.setattr("django_q.scheduler.close_old_django_connections", lambda: None)
    install()
    scheduler()
    tasks = [SignedPackage.loads(message.payload) for message in OrmQ.objects.order_by("pk")]
    assert {task["func"] for task in tasks} == {RECOVER.func, PURGE.func}
    assert {(task["save"], task["ack_failure"], task["timeout"]) for task in tasks} == {(False, True, 60)}
    assert {(task["cluster"], *task["args"], *task["kwargs"]) for task in tasks} == {(queue_name(),)}
    scheduler()
    assert OrmQ.objects.count() == 2


@pytest.mark.parametrize("planned", PLANNED)
def test_what_is_scheduled_exists_and_says_how(planned):
    assert callable(locate(planned.func))
    assert ast.literal_eval(planned.values()["kwargs"])["q_options"]["save"] is False


def test_the_purge_deletes_what_has_expired_and_nothing_else():
    idempotency.idempotent("old", dict, ttl=timedelta(microseconds=1))
    idempotency.idempotent("new", dict)
    purge()
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["new"]


def test_and_never_raises(monkeypatch, caplog):
    monkeypatch.setattr("sagas.operations.retention.purge_expired", lambda: 1 / 0)
    purge()
    assert "What has expired could not be deleted; the next round will." in caplog.text
