"""Starts the planned sagas over the API, and asks of them what is planned."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from uuid import NAMESPACE_URL, uuid5

from tests.chaos.client import Client, GaveUp
from tests.chaos.pace import Clients
from tests.chaos.plans import CODA, Act, Planned

TOPIC = "chaos.paid"
UNTIL_IT_WAITS = 30.0
"""Seconds for which an event is offered to a saga that does not wait for it yet."""


@dataclass
class Told:
    """What the clients were told."""

    started: dict[str, set[str]] = field(default_factory=dict)
    """The ids that each key's start was answered with."""
    planned: dict[str, Planned] = field(default_factory=dict)
    """What was planned for each saga."""
    accepted: list[tuple[str, str]] = field(default_factory=list)
    """Saga and operation of each act that was accepted."""
    uncertain: list[tuple[str, str]] = field(default_factory=list)
    """The acts that nobody learnt the answer to."""
    failed: list[str] = field(default_factory=list)
    """Starts that came to nothing."""


class Load(Clients[Planned]):
    """The clients who start sagas."""

    clients = 24
    coda = CODA

    def __init__(self, client: Client, plans: Iterable[Planned], *, least: int) -> None:
        super().__init__(plans, least=least)
        self.told = Told()
        self._client = client

    def _see_through(self, planned: Planned) -> None:
        saga = self._start(planned)
        if saga is None:
            return
        started = time.monotonic()
        if planned.number % 5 == 0:
            self._start(planned)  # Who is not sure asks again.
        for act in planned.acts:
            time.sleep(max(0.0, started + act.after - time.monotonic()))
            self._ask(saga, act)
        if planned.event:
            self._tell(saga, planned)

    def _start(self, planned: Planned) -> str | None:
        body = {"definition": planned.definition, "input": planned.input}
        try:
            answer = self._client.post("sagas/", body, key=planned.key)
        except GaveUp as error:
            with self._lock:
                self.told.failed.append(str(error))
            return None
        if answer.status != 202:
            with self._lock:
                self.told.failed.append(f"{planned.key}: {answer.status} {answer.body}")
            return None
        saga: str = answer.body["id"]
        with self._lock:
            self.told.started.setdefault(planned.key, set()).add(saga)
            self.told.planned[saga] = planned
        return saga

    def _ask(self, saga: str, act: Act) -> None:
        try:
            answer = self._client.post(
                f"sagas/{saga}/{act.operation}/", {"reason": "planned"}, key=f"{act.operation}-{act.after}"
            )
        except GaveUp:
            with self._lock:
                self.told.uncertain.append((saga, act.operation))
            return
        with self._lock:
            if answer.status == 202:
                if not answer.body.get("already"):  # Else nothing was left to be done.
                    self.told.accepted.append((saga, act.operation))
            elif answer.status != 409:
                self.told.failed.append(f"{act.operation} of {saga}: {answer.status} {answer.body}")

    def _tell(self, saga: str, planned: Planned) -> None:
        body = {"id": str(uuid5(NAMESPACE_URL, planned.key)), "topic": TOPIC, "data": {"paid": True}}
        given_up_at = time.monotonic() + UNTIL_IT_WAITS
        for nth in count():
            if time.monotonic() > given_up_at:
                return
            try:
                answer = self._client.post(f"sagas/{saga}/events/", body, key=f"event-{planned.number}-{nth}")
            except GaveUp:
                return
            if answer.body.get("already"):
                return
            if answer.status == 202:
                continue  # Who is not sure tells it again.
            if answer.body.get("current_status") not in ("pending", "running"):
                return
            time.sleep(0.3)
