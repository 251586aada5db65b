"""The clerk who is asked when the delivery of an event was given up: does only what the API allows."""

from __future__ import annotations

from itertools import count
from threading import Event
from typing import Any

from django.db import DatabaseError, connections

from sagas.keys import case_id
from sagas.models import InboxMessage, Saga
from sagas.states import Direction
from tests.chaos.client import Client

PAUSE = 1.0
NEVER = ("CaseClosed", "TooManyHops")
"""What is not to be handled at all."""


class Clerk:
    """Sees to dead letters: has them delivered again, or says that they need that no more."""

    def __init__(self, client: Client) -> None:
        self.failed: list[str] = []
        """What nobody could make of a letter."""
        self._client = client
        self._numbers = count()

    def attend_until(self, over: Event) -> None:
        """See to whatever there is, again and again."""
        while not over.wait(PAUSE):
            try:
                self.attend()
            except DatabaseError:
                connections.close_all()  # The database is being restarted.
        connections.close_all()

    def attend(self) -> None:
        """See to what there is now."""
        for letter in self._client.get("dead-letters/?page_size=100").body.get("results", []):
            if not self._ask(letter, "resolve" if self._is_void(letter) else "requeue"):
                self._ask(letter, "resolve")

    def _is_void(self, letter: dict[str, Any]) -> bool:
        if letter["error_class"] in NEVER:
            return True
        if letter["headers"].get("is_way_back") or InboxMessage.objects.get(pk=letter["id"]).in_doubt:
            return False
        case = Saga.objects.filter(pk=case_id(letter["correlation_id"])).first()
        return case is not None and case.direction == Direction.BACK

    def _ask(self, letter: dict[str, Any], operation: str) -> bool:
        """Ask for an operation; return false where another one is needed."""
        answer = self._client.post(
            f"dead-letters/{letter['id']}/{operation}/",
            {"reason": "Somebody looked."},
            key=f"letter-{next(self._numbers)}",
        )
        if answer.status == 409 and answer.body.get("code") == "case_closed":
            return False
        if answer.status not in (202, 409):  # It was seen to already.
            self.failed.append(f"{operation} of {letter['id']}: {answer.status} {answer.body}")
        return True
