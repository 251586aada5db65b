"""Sagas in every state that a door can meet, and users of every kind who knock."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from sagas import HALT, Approval, OutcomeUnknown, RetryLater, SagaDefinition, WaitForEvent, start
from sagas.models import Saga
from sagas.operations.performing import perform
from sagas.testing import run_saga
from tests.samples import HOUR, ONCE, STEADY, Define, OrderInput, step


@pytest.fixture
def trip(define: Define) -> type[SagaDefinition]:
    """Two steps; when the second fails for good, a person is asked."""
    return define(
        step("book"), step("pay", retry=ONCE), input=OrderInput, key="order:{order_id}", on_exhausted=HALT
    )


class Sagas:
    """Makes sagas of one definition, each in the state it is asked for."""

    def __init__(self, trip, play, define) -> None:
        self._trip = trip
        self._define = define
        self._play = play
        self._number = 0

    def input(self) -> dict[str, str]:
        self._number += 1
        return {"order_id": str(self._number)}

    def pending(self) -> Saga:
        return start(self._trip, self.input(), by="code")

    def completed(self) -> Saga:
        return run_saga(self._trip, self.input())

    def failed(self) -> Saga:
        self._play.says("pay", RetryLater("the bank is closed"))
        saga = run_saga(self._trip, self.input())
        assert saga.status == "failed"
        return saga

    def unknown(self) -> Saga:
        self._play.says("pay", OutcomeUnknown("no answer"))
        saga = run_saga(self._trip, self.input())
        assert saga.steps.get(name="pay").status == "unknown"
        return saga

    def undecided(self) -> Saga:
        decision = Approval("sagas.compensate_saga", timeout=HOUR, name="decision")
        definition = self._define(step("ask"), decision, name="samples.decided", input=OrderInput)
        return run_saga(definition, self.input())

    def waiting(self) -> Saga:
        """Return a saga that waits for an event."""
        event = WaitForEvent("parcel.picked_up", correlate="{order_id}", timeout=HOUR, name="pickup")
        definition = self._define(event, step("tell"), name="samples.parcel", input=OrderInput)
        return run_saga(definition, self.input())

    def editable(self) -> Saga:
        """Return a saga that stands still, and of whose input nothing is made."""
        self._play.says("call", RetryLater("the bank is closed"))
        definition = self._define(
            step("call", retry=ONCE), name="samples.edited", input=OrderInput, on_exhausted=HALT
        )
        return run_saga(definition, self.input())

    def noticed(self) -> Saga:
        """Return a saga that has ended, and of which a person should know."""
        saga = self.completed()
        Saga.objects.filter(pk=saga.pk).update(attention="late_effect")
        return saga

    def suspended(self) -> Saga:
        saga = self.pending()
        perform(saga.pk, "suspend", by=None)
        saga.refresh_from_db()
        return saga

    def allowing(self, operation: str) -> Saga:
        """Return a saga with which the operation can be done."""
        states = {
            "retry": self.failed,
            "resume": self.suspended,
            "suspend": self.pending,
            "compensate": self.failed,
            "abandon": self.failed,
            "resolve": self.unknown,
            "skip": self.failed,
            "edit": self.failed,
            "restart": self.completed,
            "acknowledge": self.noticed,
            "approve": self.undecided,
            "reject": self.undecided,
        }
        return states[operation]()


@pytest.fixture
def sagas(db, trip, play, define) -> Sagas:
    return Sagas(trip, play, define)


@pytest.fixture
def retrying(db, define, play) -> Saga:
    """A saga that waits for its next attempt."""
    definition = define(step("call", retry=STEADY), name="samples.retrying")
    play.says("call", RetryLater("busy"))
    return run_saga(definition, {})


class Users:
    """Users of every kind."""

    def root(self) -> User:
        return User.objects.create(username="root", is_staff=True, is_superuser=True)

    def staff(self, *codenames: str, username: str = "sam") -> User:
        user = User.objects.create(username=username, is_staff=True)
        permissions = Permission.objects.filter(content_type__app_label="sagas", codename__in=codenames)
        assert len(permissions) == len(codenames)
        user.user_permissions.set(permissions)
        return user


@pytest.fixture
def users(db) -> Users:
    return Users()


@pytest.fixture
def root(users: Users) -> User:
    return users.root()


@pytest.fixture
def admin(client, root):
    client.force_login(root)
    return client


@pytest.fixture
def api(root) -> APIClient:
    client = APIClient()
    client.force_authenticate(root)
    return client


@pytest.fixture
def queue(monkeypatch) -> list[object]:
    """What would be sent to django-q2."""
    sent: list[object] = []
    monkeypatch.setattr("sagas.wake._send", sent.append)
    return sent
