"""Business transactions that nobody conducts: which events begin one, which end it, and what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from functools import cached_property


@dataclass(frozen=True)
class Expect:
    """An event that has to come, so long after another."""

    topic: str
    _: KW_ONLY
    after: str
    within: timedelta


class Choreography:
    """A case that events carry from one participant to the next, seen as one saga.

    An event of the topic `starts` begins one. It is completed when an event of `ends` was published, and
    compensated after one of `undone`, once all that was published has been handled. If an event of `expects`
    is missing when its time is up, a person is told. A person may have it undone while it is live, and with
    `undo_after_completion` later too.
    """

    def __init__(
        self,
        name: str,
        *,
        starts: str,
        ends: str | Sequence[str],
        undone: str | Sequence[str] = (),
        expects: Sequence[Expect] = (),
        undo_after_completion: bool = False,
    ) -> None:
        self.name = name
        self.starts = starts
        self.ends = _several(ends)
        self.undone = _several(undone)
        self.expects = tuple(expects)
        self.undo_after_completion = undo_after_completion
        known = {starts, *(expect.topic for expect in self.expects)}
        for expect in self.expects:
            if expect.after not in known:
                raise ValueError(
                    f"Choreography {name!r} expects {expect.topic!r} after {expect.after!r}, which neither "
                    f"starts it nor is expected itself. Expect one of these first, or start from {starts!r}."
                )
        choreographies.add(self)

    @cached_property
    def stages(self) -> dict[str, int]:
        """The topics it begins with and expects, each with how many others come before it."""
        stages = {self.starts: 0}
        for _round in self.expects:
            for expect in self.expects:
                if expect.after in stages:
                    stages.setdefault(expect.topic, stages[expect.after] + 1)
        return stages

    def after(self, topic: str) -> list[Expect]:
        """Return what is expected once an event of this topic was published."""
        return [expect for expect in self.expects if expect.after == topic]


class Choreographies:
    """The declared choreographies, by name and by the topic that starts them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Choreography] = {}
        self._by_start: dict[str, Choreography] = {}
        self.clashes: list[Choreography] = []

    def add(self, choreography: Choreography) -> None:
        """Register a choreography; the later of two of one name counts, as when a module is reloaded."""
        self.remove(choreography.name)
        self._by_name[choreography.name] = choreography
        if self._by_start.setdefault(choreography.starts, choreography) is not choreography:
            self.clashes.append(choreography)

    def remove(self, name: str) -> None:
        """Forget a choreography."""
        gone = self._by_name.pop(name, None)
        self._by_start = {start: each for start, each in self._by_start.items() if each is not gone}
        self.clashes = [clash for clash in self.clashes if clash is not gone]

    def get(self, name: str) -> Choreography | None:
        """Return the choreography of this name, if the code has it."""
        return self._by_name.get(name)

    def started_by(self, topic: str) -> Choreography | None:
        """Return the choreography that an event of this topic begins."""
        return self._by_start.get(topic)

    def __iter__(self) -> Iterator[Choreography]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


choreographies = Choreographies()


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
