"""How much a runner can call at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from threading import Lock

from sagas.definitions import Element
from sagas.engine.attempts import Attempt
from sagas.states import Call, Direction


class Slots:
    """Free threads and free tasks; an attempt is marked as sent only for one that is reserved."""

    def __init__(self, *, threads: int, tasks: int) -> None:
        self.total = threads + tasks
        self._free = {False: threads, True: tasks}
        self._backlog = 0
        self._lock = Lock()

    def reserve(self, step: Element, direction: Direction, call: Call = Call.ACTION) -> bool:
        """Take a slot of the kind the step's function needs, if one is free."""
        kind = step.runs_on_loop(direction, call)
        with self._lock:
            if self._free[kind] < 1:
                return False
            self._free[kind] -= 1
            return True

    def give_back(self, number: Mapping[bool, int]) -> None:
        """Give so many slots back, by whether they are for calls on the loop."""
        with self._lock:
            for kind, freed in number.items():
                self._free[kind] += freed

    def has_room(self, step: Element, direction: Direction) -> bool:
        """Say whether a slot for the step's first call is free, or it needs none."""
        try:
            kind = step.runs_on_loop(direction, first_call(step))
        except LookupError:
            return True
        with self._lock:
            return self._free[kind] >= 1

    def allow_backlog(self, backlog: int) -> None:
        """Have so many sync attempts wait for a thread, beyond those that have one."""
        with self._lock:
            self._free[False] += backlog - self._backlog
            self._backlog = backlog

    @property
    def free(self) -> int:
        """How many more attempts could be made at most."""
        return max(0, self._free[False]) + self._free[True]

    def free_of(self, kinds: Iterable[bool]) -> int:
        """Return how many attempts could be made at least that need slots of one of these kinds."""
        return max(0, min(self._free[kind] for kind in kinds))


def first_call(step: Element) -> Call:
    """Return what a step begins with."""
    return Call.CONDITION if step.when else Call.ACTION


class Reservation:
    """The slots that one transaction takes, all given back if it comes to nothing.

    It begins with those of the attempts that it settles: else a claim could have them, which would take up
    other sagas only to have these let go of. What is left of them is free in the end.
    """

    def __init__(self, slots: Slots, finished: Iterable[Attempt] = ()) -> None:
        self._slots = slots
        self._had = Counter(attempt.runs_on_loop for attempt in finished)
        self._taken: Counter[bool] = Counter()
        self.lacking: set[bool] = set()
        """The kinds of slots that were wanted, and of which none was free: whether for calls on the loop."""

    def reserve(self, step: Element, direction: Direction, call: Call = Call.ACTION) -> bool:
        """Take a slot, if one is free."""
        kind = step.runs_on_loop(direction, call)
        if self._taken[kind] >= self._had[kind] and not self._slots.reserve(step, direction, call):
            self.lacking.add(kind)
            return False
        self._taken[kind] += 1
        return True

    def has_room(self, step: Element, direction: Direction) -> bool:
        """Say whether a slot for the step's first call is free, or it needs none."""
        if self._slots.has_room(step, direction):
            return True
        self.lacking.add(step.runs_on_loop(direction, first_call(step)))
        return False

    def anew(self) -> Reservation:
        """Give back what an earlier try of the transaction had taken."""
        self._slots.give_back(self._taken - self._had)
        self._taken.clear()
        self.lacking.clear()
        return self

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._slots.give_back(self._had - self._taken)
        else:
            self.anew()
