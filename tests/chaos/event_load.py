"""Publishes the first events of the planned cases, some of them many times, and has some cases undone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sagas.keys import case_id
from tests.chaos.client import Client, GaveUp
from tests.chaos.event_plans import CODA, PlannedCase
from tests.chaos.letters import Clerk
from tests.chaos.pace import Clients
from tests.chaos.parts import SECRET

ALL_AGAIN = 20
"""So many events are sent again when all is over."""


@dataclass
class ToldOfEvents:
    """What the clients were told."""

    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    doubles: int = 0
    """Answers that said that the event was known."""
    undone: set[str] = field(default_factory=set)
    """The cases of which a client was told that they are undone."""
    forgotten: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    planned: dict[str, PlannedCase] = field(default_factory=dict)


class EventLoad(Clients[PlannedCase]):
    """The clients who publish, and the clerk who sees to dead letters meanwhile."""

    clients = 12
    coda = CODA

    def __init__(self, client: Client, plans: Iterable[PlannedCase], clerk: Clerk, *, least: int) -> None:
        super().__init__(plans, least=least)
        self.told = ToldOfEvents()
        self._client = client
        self._clerk = clerk

    def begin(self) -> None:
        """Begin to publish, and to see to dead letters."""
        super().begin()
        self._paced.append(self._pace.submit(self._clerk.attend_until, self._enough))

    def publish_again(self) -> None:
        """Send the first events once more, when all is over: nothing is to come of that."""
        for event in sorted(self.told.answered)[:ALL_AGAIN]:
            [planned] = [each for each in self.told.planned.values() if each.event_id == event]
            if not self._client.publish(planned.event, secret=SECRET).body.get("already"):
                self.told.forgotten.append(event)

    def _begin(self, planned: PlannedCase) -> None:
        with self._lock:
            self.told.planned[planned.id] = planned
            self.told.asked.add(planned.event_id)
        if planned.number % 3 == 0:  # Two at the same time.
            self._submit(self._publish, planned)
        super()._begin(planned)

    def _see_through(self, planned: PlannedCase) -> None:
        self._publish(planned)
        if planned.number % 2 == 0:  # Who is not sure sends it again.
            self._publish(planned)
        if planned.undone_after is not None:
            time.sleep(planned.undone_after)
            self._undo(planned)

    def _publish(self, planned: PlannedCase) -> None:
        try:
            answer = self._client.publish(planned.event, secret=SECRET)
        except GaveUp as error:
            with self._lock:
                self.told.failed.append(str(error))
            return
        with self._lock:
            if answer.status == 202:
                self.told.answered.add(answer.body["id"])
                self.told.doubles += answer.body.get("already", False)
            else:
                self.told.failed.append(f"{planned.id}: {answer.status} {answer.body}")

    def _undo(self, planned: PlannedCase) -> None:
        path = f"sagas/{case_id(planned.id)}/compensate/"
        try:
            answer = self._client.post(path, {"reason": "planned"}, key=f"undo {planned.id}")
        except GaveUp:
            return
        with self._lock:
            if answer.status == 202:
                self.told.undone.add(planned.id)
            elif answer.status != 409:  # It has ended meanwhile.
                self.told.failed.append(f"undo {planned.id}: {answer.status} {answer.body}")
