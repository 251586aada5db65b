"""What goes wrong in a run, and when: every kind of fault so often, then others by chance. From the seed."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from tests.chaos.hosts import Host
from tests.chaos.profiles import Profile
from tests.chaos.stage import Stage

PATIENCE = 6.0
"""Seconds for which a fault waits for its victim, such as a worker that is busy."""

T = TypeVar("T")
Fault: TypeAlias = Callable[["Nemesis"], str | None]
"""Does it and says to whom; None where no victim was found."""


class Nemesis:
    """Does harm, and in the end undoes it."""

    def __init__(
        self, stage: Stage, profile: Profile, chance: random.Random, faults: Mapping[str, Fault]
    ) -> None:
        self.happened: Counter[str] = Counter()
        self.stage = stage
        self.chance = chance
        self.profile = profile
        self._faults = faults
        self._history = stage.folder / "nemesis.jsonl"
        self._endings: list[tuple[float, Callable[[], object]]] = []
        self._plan = [kind for kind in profile.faults for _ in range(profile.gates.each_fault)]
        chance.shuffle(self._plan)

    def run(self, *, until: float) -> None:
        """Do harm until that time by the monotonic clock, and until there was enough of it."""
        while time.monotonic() < until or not self._was_enough(until + self.profile.drain):
            self._rest(self.chance.uniform(0.5, 1.5) * self.profile.gap)
            kind = self._plan.pop() if self._plan else self.chance.choice(self.profile.faults)
            began = time.time()
            victim = self._faults[kind](self)
            self._note(kind, victim, began)
            if victim is not None:
                self.happened[kind] += 1
            elif self.happened[kind] < self.profile.gates.each_fault:
                self._plan.insert(self.chance.randint(0, len(self._plan)), kind)
        while self._endings:
            self._rest(0.05)

    def _was_enough(self, given_up_at: float) -> bool:
        done = not self._plan and self.happened.total() >= self.profile.gates.faults
        return done or time.monotonic() > given_up_at

    def after(self, seconds: float, ending: Callable[[], object]) -> None:
        """Have something done so much later."""
        self._endings.append((time.monotonic() + seconds, ending))

    def wait_for(self, look: Callable[[], T | None], *, patience: float = PATIENCE) -> T | None:
        """Look for a victim for so many seconds."""
        given_up_at = time.monotonic() + patience
        while (found := look()) is None and time.monotonic() < given_up_at:
            self._rest(0.05)
        return found

    @property
    def host(self) -> Host:
        """One of the hosts."""
        return self.chance.choice(self.stage.hosts)

    @property
    def door(self) -> str:
        """One of the doors."""
        return self.chance.choice(self.stage.doors)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            due = [ending for at, ending in self._endings if at <= now]
            self._endings = [(at, ending) for at, ending in self._endings if at > now]
            for ending in due:
                ending()
            self.stage.keep_hosts()
            if now >= until:
                return
            time.sleep(0.05)

    def _note(self, kind: str, victim: str | None, began: float) -> None:
        with self._history.open("a") as history:
            history.write(json.dumps({"at": began, "fault": kind, "victim": victim}) + "\n")
