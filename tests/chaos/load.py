"""Starts the planned sagas over the API, and asks of them what is planned."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Event, Lock
from uuid import NAMESPACE_URL, uuid5

from tests.chaos.client import Client, GaveUp
from tests.chaos.plans import CODA, Act, Planned

CLIENTS = 24
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


class Load:
    """The clients of one run."""

    def __init__(self, client: Client, plans: Iterable[Planned], *, least: int) -> None:
        self.told = Told()
        self._least = least
        self._enough = Event()
        self._client = client
        self._plans = plans
        self._threads = ThreadPoolExecutor(CLIENTS, thread_name_prefix="client")
        self._pace = ThreadPoolExecutor(1)
        self._lock = Lock()
        self._began = 0.0
        self._running: list[Future[None]] = []

    def begin(self) -> None:
        """Begin to start sagas: so many at least, and on until there were enough faults."""
        self._began = time.monotonic()
        self._paced = self._pace.submit(self._start_all)

    def wait(self) -> None:
        """Start no more than was to be started at least, and wait for that. Raises what went wrong."""
        self._enough.set()
        self._paced.result()
        for future in self._running:
            future.result()
        self._threads.shutdown()
        self._pace.shutdown()

    def _start_all(self) -> None:
        for planned in self._plans:
            time.sleep(max(0.0, self._began + planned.at - time.monotonic()))
            if planned.number >= self._least and self._enough.is_set():
                break
            self._running.append(self._threads.submit(self._see_through, planned))
        for number, last in enumerate(CODA, start=planned.number):
            self._running.append(self._threads.submit(self._see_through, replace(last, number=number)))

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
