"""What tells inputs apart, for whoever compares attempts and may not see what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.utils.crypto import salted_hmac

from sagas.canonical import canonical
from sagas.models import HistoryEntry, Saga, SagaStep
from sagas.operations.editing import unedited
from sagas.states import Direction

DIGITS = 12


class Inputs:
    """What attempts were given: the saga's input as it is, with what was edited since put back."""

    def __init__(self, saga: Saga, edits: Sequence[HistoryEntry]) -> None:
        self._input: dict[str, Any] = saga.input
        self._edits = edits
        self._of = cache(self._fingerprint)

    def fingerprint(self, step: SagaStep | None, direction: str, at: datetime) -> str:
        """Return what is equal for equal inputs, of the one that an attempt had which ended at this time."""
        if direction == Direction.BACK and step is not None and step.given_input is not None:
            return fingerprint(step.given_input)
        return self._of(sum(edit.at > at for edit in self._edits))

    def _fingerprint(self, since: int) -> str:
        newest = [edit.data for edit in self._edits[:since]]
        return fingerprint(unedited(self._input, newest))


def fingerprint(given: Any) -> str:
    """Return what tells inputs apart; with a secret in it, so that nobody finds an input by trying."""
    return salted_hmac("sagas.input", canonical(given), algorithm="sha256").hexdigest()[:DIGITS]
