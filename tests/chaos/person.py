"""The person who is asked when a saga halts: does only what operations of the API allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import count

from sagas.clock import database_now
from sagas.models import Saga
from sagas.states import AT_REST, Attention, Direction, SagaStatus, StepStatus
from tests.chaos.client import Client
from tests.chaos.ledger import Kind, Ledger, Line
from tests.chaos.rows import lines_by_saga


class Person:
    """Looks at what stands still, finds out what happened, and says how it goes on."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self.met: Counter[str] = Counter()
        """Why sagas stood still."""
        self._client = client
        self._ledger = ledger
        self._numbers = count()
        self._looked_at: Counter[str] = Counter()

    def attend(self) -> None:
        """Say of each saga that stands still how it goes on."""
        if not (standing := list(Saga.objects.filter(status__in=AT_REST))):
            return
        looked_at = database_now(Saga.objects.db)
        lines = lines_by_saga(self._ledger)
        for saga in standing:
            self._looked_at[str(saga.pk)] += 1
            if self._looked_at[str(saga.pk)] == 1:
                self.met[saga.attention or saga.status] += 1
            if saga.status == SagaStatus.SUSPENDED:
                self._ask(saga, "resume")
            elif saga.attention == Attention.UNKNOWN_OUTCOME and saga.direction == Direction.FORWARD:
                self._resolve(saga, lines.get(str(saga.pk), []), looked_at)
            elif saga.attention == Attention.STEP_EXHAUSTED and self._looked_at[str(saga.pk)] > 2:
                self._ask(saga, "compensate")
            elif self._ask(saga, "retry") == "key_expired":
                # It may have been undone, and nobody may ask again: the rest is undone by hand.
                self._ask(saga, "abandon")

    def _resolve(self, saga: Saga, lines: Sequence[Line], looked_at: datetime) -> None:
        unknown = saga.steps.filter(status=StepStatus.UNKNOWN)
        # What could still take effect when the books were read is not known yet.
        for step in unknown.exclude(inflight_until__gt=looked_at):
            if any(line.kind is Kind.DONE and line.step == step.name for line in lines):
                self._ask(saga, "resolve", outcome="done", step=step.name, result={"resolved": True})
            else:
                self._ask(saga, "resolve", outcome="not_done", step=step.name)

    def _ask(self, saga: Saga, operation: str, **arguments: object) -> str:
        key = f"person-{next(self._numbers)}"
        body = {"reason": "Somebody looked.", **arguments}
        answer = self._client.post(f"sagas/{saga.pk}/{operation}/", body, key=key)
        return str(answer.body.get("code", ""))
