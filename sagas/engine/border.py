"""What a saga meets at a step border: who goes on with it, and what it needs for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sagas.definitions import Element
from sagas.engine import family, inbox
from sagas.engine.admission import Admission
from sagas.engine.locked import Locked
from sagas.states import Call, Direction


class SlotSource(Protocol):
    """Where room for attempts comes from."""

    def reserve(self, step: Element, direction: Direction, call: Call = Call.ACTION) -> bool: ...
    def has_room(self, step: Element, direction: Direction) -> bool: ...


@dataclass(frozen=True)
class Border:
    """The border of one transaction."""

    slots: SlotSource
    admission: Admission
    lease: timedelta
    begin: bool = True
    """Whether attempts are started here; what could run is else left due for another worker."""

    def prepare(self, batch: Sequence[Locked]) -> None:
        """Read, for all of these sagas at once, what their next decisions need."""
        self.admission.prepare(batch)
        inbox.last_look(batch)
        family.take_stock(batch)
