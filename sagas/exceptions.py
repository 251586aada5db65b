"""Everything `sagas` raises, in two families, and what a step may raise.

`SagaError` is for callers of the engine: each refusal is a sentence that says what was refused, of which
object, why, and what to do. `StepSignal` is for authors of steps: what a step says besides returning a
result.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from sagas.models import HistoryEntry, InboxMessage, Saga


class SagaError(Exception):
    """The engine refused what it was asked. `code` is stable; the text is for people."""

    code = "saga_error"


class DefinitionError(SagaError):
    """A definition, or one of its elements, is written in a way that cannot work."""

    code = "definition_error"


class UnknownDefinition(SagaError):
    """No installed app registers a definition of this name."""

    code = "unknown_definition"


class InputRefused(SagaError):
    """The input does not fit the definition. `errors` maps fields to lists of messages."""

    code = "input_refused"

    def __init__(self, message: str, errors: dict[str, Any]) -> None:
        super().__init__(message)
        self.errors = errors


class DuplicateKey(SagaError):
    """A live saga already holds this business key. `existing` is that saga."""

    code = "duplicate_key"

    def __init__(self, message: str, existing: Saga) -> None:
        super().__init__(message)
        self.existing = existing


class LockHeld(SagaError):
    """A semantic lock that the new saga needs at once is held.

    `holder` is the saga that has it; None: one whose start is not committed.
    """

    code = "lock_held"

    def __init__(self, message: str, holder: UUID | None) -> None:
        super().__init__(message)
        self.holder = holder


class IdempotencyKeyReused(SagaError):
    """An idempotency key came back with another body than the one it was first used with."""

    code = "idempotency_key_reused"


class OperationRefused(SagaError):
    """An operation was asked for and refused; `entry` is its record in the history."""

    code = "operation_refused"

    def __init__(self, message: str, *, code: str, entry: HistoryEntry) -> None:
        super().__init__(message)
        self.code = code
        self.entry = entry


class BatchRefused(SagaError):
    """A batch was not drafted, or not started, suspended or stopped. `code` says why, for programs."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class LetterRefused(SagaError):
    """Something was asked for about a dead letter and refused; `letter` is the delivery as it stands."""

    code = "letter_refused"

    def __init__(self, message: str, *, code: str, letter: InboxMessage) -> None:
        super().__init__(message)
        self.code = code
        self.letter = letter


class AnswerRefused(SagaError):
    """An answer to a callback does not count; `code` is ``callback_spent`` or ``not_waiting``."""

    def __init__(self, message: str, *, code: str, saga: Saga) -> None:
        super().__init__(message)
        self.code = code
        self.saga = saga


class EventClash(SagaError):
    """An event arrived under the id of another one."""


class PermissionRefused(SagaError):
    """Whoever asked may not."""

    code = "permission_denied"


class NotStorable(SagaError):
    """A value is not JSON that every database stores and every reader gets back unchanged."""

    code = "not_storable"


class StepSignal(Exception):
    """What a step says about its attempt, other than returning a result."""


class PermanentFailure(StepSignal):
    """Nothing happened and trying again will not help: no more attempts, turn back."""


class RetryLater(StepSignal):
    """Nothing happened; try again, after `delay` or else when the retry policy says."""

    def __init__(self, message: str = "", *, delay: timedelta | None = None) -> None:
        super().__init__(message)
        if delay is not None and not isinstance(delay, timedelta):
            raise TypeError(f"RetryLater takes its delay as a timedelta, not as {delay!r}.")
        self.delay = delay


class OutcomeUnknown(StepSignal):
    """The call was made and its answer never came: it may or may not have taken effect."""
