"""A process comes to grief at each durable boundary in turn, and nothing is lost or doubled.

Each scenario is first played in peace to learn which boundaries it passes. Then a process plays it up to
each of them and crashes there, or goes on as one that was given up; the clients ask again, others recover,
and what the world, the rows and the history say is compared with what the saga says of itself.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, OperationalError, connection, connections

from sagas import clock
from sagas.models import (
    DeadLetterAct,
    HistoryEntry,
    HistoryKind,
    InboxMessage,
    InboxStatus,
    OutboxMessage,
    Permit,
    Saga,
    SemanticLock,
)
from sagas.operations import letters
from sagas.operations.catalogue import OPERATIONS
from sagas.states import SagaStatus
from sagas.testing import advance
from tests.crashes.acts import ACTS
from tests.crashes.boundaries import GOES_ON, Boundaries, Crash, Mode
from tests.crashes.declared import committing_functions
from tests.crashes.scenarios import SCENARIOS, WRITING
from tests.crashes.stage import Scenario, Stage
from tests.crashes.world import World, wrongs_of
from tests.samples import Define, Play

pytestmark = [
    pytest.mark.crashes,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql",
        reason="the tests' SQLite is in memory, and dies with the process that crashes",
    ),
]

PLAYED = SCENARIOS + ACTS
PAST_EVERY_LEASE = timedelta(minutes=2)
PAST_EVERY_WAIT = timedelta(minutes=30)
MOST_TRIES = 4
SECOND_CRASHES = 3
DEADLY = (Mode.KILLED_BEFORE, Mode.KILLED_AFTER)
OF_CALLS = frozenset({Mode.EXITS, Mode.RAISES})
OF_COMMITS = frozenset({Mode.LOST, Mode.UNANSWERED})
OF_DELIVERIES = {
    name
    for name, function in vars(letters).items()
    if getattr(function, "__annotations__", {}).get("return") == "InboxMessage" and name[0] != "_"
}
CALLS = ("a call of a step", "a call of a compensation")


class Theatre:
    """Plays one scenario, again and again."""

    def __init__(self, scenario: Scenario, define: Define, play: Play, path: Path) -> None:
        self._scenario = scenario
        self._play = play
        self._path = path
        self._definition = scenario.definition(define)

    def stage(self, boundaries: Boundaries | None = None) -> Stage:
        """Return the stage for another performance."""
        return Stage(self._definition, World(self._path), boundaries or Boundaries())

    def passed(self) -> list[str]:
        """Play it in peace, in another process; return the boundaries it passed."""
        noted = self._path.with_suffix(".passed")
        with noted.open("w", buffering=1) as file:
            boundaries = Boundaries(note=lambda name: print(name, file=file))
            code = os.waitstatus_to_exitcode(os.waitpid(self._fork(self.stage(boundaries)), 0)[1])
        assert code == 0
        return noted.read_text().splitlines()

    def crash(self, crash: Crash, *, again: Crash | None = None) -> list[str]:
        """Play it to a crash, and perhaps to another on the way to recovery; return what is wrong then."""
        stage = self.stage(Boundaries(crash))
        pid = self._fork(stage)
        _, status = os.waitpid(pid, os.WUNTRACED)
        stands_still = os.WIFSTOPPED(status)
        if crash.mode in GOES_ON and status and not stands_still:
            return [f"the process did not survive it: {os.waitstatus_to_exitcode(status)}"]
        if again is not None:
            os.waitpid(self._fork(self._restaged(stage, Boundaries(again)), late=True), 0)
        try:
            self._recover(stage)
            if stands_still:
                os.kill(pid, signal.SIGCONT)
                _, status = os.waitpid(pid, 0)
                self._recover(stage)
            return list(self._wrongs(stage))
        finally:
            clock.reset()

    def _restaged(self, stage: Stage, boundaries: Boundaries) -> Stage:
        return Stage(self._definition, stage.world, boundaries, stage.run)

    def _fork(self, stage: Stage, *, late: bool = False) -> int:
        connections.close_all()
        gc.freeze()  # Else the garbage collector of each process would copy all that they share.
        if pid := os.fork():
            return pid
        try:
            with stage.boundaries.watched():
                if late:
                    clock.shift(PAST_EVERY_LEASE)
                self._scenario.rehearse(stage, self._play)
                self._scenario.script(stage)
        except SystemExit:
            os._exit(1)
        except DatabaseError:
            os._exit(0)  # Whoever asked is told, and asks again.
        except BaseException:
            traceback.print_exc()
            os._exit(2)
        os._exit(0)

    def _recover(self, stage: Stage) -> None:
        stage = self._restaged(stage, Boundaries())
        self._scenario.rehearse(stage, self._play)
        clock.shift(2 * PAST_EVERY_LEASE)  # Whoever recovered and crashed was later already.
        for _ in range(MOST_TRIES):
            try:
                self._scenario.script(stage)
                break
            except OperationalError:
                continue  # One that stands still holds it, until the database ends its session.
        else:
            self._scenario.script(stage)
        advance(PAST_EVERY_WAIT)

    def _wrongs(self, stage: Stage) -> Iterator[str]:
        lines = stage.world.lines()
        sagas = list(Saga.objects.filter(input__order_id__startswith=stage.run))
        if not sagas:
            yield "there is no saga, though its client asked twice"
        for saga in sagas:
            if saga.status not in self._scenario.ends:
                yield f"it is {saga.status} ({saga.error})"
            again = saga.history.filter(operation="compensate", from_status="compensated").count()
            steps = self._acting_steps(saga)
            yield from wrongs_of(lines, saga.pk, saga.status, steps, undone_again=again)
            yield from _wrongs_of_rows(saga)
            if self._scenario.seen_to and saga.attention:
                yield f"it still calls for somebody: {saga.attention}"
        yield from _wrongs_of_events(stage.run)

    def _acting_steps(self, saga: Saga) -> Sequence[str]:
        if self._scenario.asking is not None:
            return self._scenario.asking
        steps = saga.steps.filter(kind="step").exclude(status="skipped").order_by("stage")
        names = steps.values_list("name", flat=True)
        written = {"b"} if Group.objects.filter(name=f"b of {saga.pk}").exists() else set()
        return [name for name in names if name not in written]


def _wrongs_of_rows(saga: Saga) -> Iterator[str]:
    waits = saga.status != SagaStatus.ABANDONED and any(step.in_flight for step in saga.steps.all())
    if saga.held_by is not None or waits:
        yield "somebody still holds it, or waits for an answer"
    if Permit.objects.filter(saga=saga).exists() or SemanticLock.objects.filter(saga=saga).exists():
        yield "it still holds a permit or a lock"
    if saga.facts.filter(applied_at=None).exists():
        yield "something that was asked of it was never heeded"
    status = "pending"
    for entry in saga.history.filter(kind__in=(HistoryKind.STATUS, HistoryKind.ACT)).order_by("id"):
        if entry.to_status:
            if entry.from_status != status:
                yield f"its history says {entry.from_status} after {status}"
            status = entry.to_status
    if status != saga.status:
        yield f"its history ends at {status}, and it is {saga.status}"
    fences = [entry.data["fence"] for entry in saga.history.filter(kind=HistoryKind.TAKE_OVER).order_by("id")]
    if fences != sorted(set(fences)):
        yield f"its fences do not rise: {fences}"


def _wrongs_of_events(case: str) -> Iterator[str]:
    topics = Counter(OutboxMessage.objects.filter(correlation_id=case).values_list("topic", flat=True))
    yield from (f"{topic} was published {times} times" for topic, times in topics.items() if times > 1)
    for topic, status in InboxMessage.objects.filter(correlation_id=case).values_list("topic", "status"):
        if status in (InboxStatus.DUE, InboxStatus.DEAD):
            yield f"{topic} is {status}"
        rows = Group.objects.filter(name__startswith=f"{topic} {case}").count()
        if rows != int(topic in WRITING and status == InboxStatus.DONE):
            yield f"{topic} is {status}, and its handler wrote {rows} rows"


@pytest.fixture
def theatre(define, play, listener, choreography, tmp_path):
    def of(scenario: Scenario) -> Theatre:
        return Theatre(scenario, define, play, tmp_path / "world")

    return of


def numbered(passed: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield each boundary that was passed, and which pass of it that was."""
    passes: Counter[str] = Counter()
    for boundary in passed:
        passes[boundary] += 1
        yield boundary, passes[boundary]


def ways_to_fail(boundary: str) -> list[Mode]:
    """Return what can go wrong at a boundary."""
    if boundary in CALLS:
        return [mode for mode in Mode if mode not in OF_COMMITS]
    return [
        mode
        for mode in Mode
        if mode not in OF_CALLS and (boundary.endswith("commit") or mode not in OF_COMMITS)
    ]


@pytest.fixture
def first_at(theatre) -> dict[str, str]:
    """Which scenario is the first to pass each boundary. Found out once."""
    if not _first_at:
        for scenario in PLAYED:
            for boundary in theatre(scenario).passed():
                _first_at.setdefault(boundary, scenario.name)
    return _first_at


_first_at: dict[str, str] = {}


def crashes_of(scenario: Scenario, passed: Iterable[str], first_at: dict[str, str]) -> Iterator[Crash]:
    """Yield the crashes of a scenario.

    At a boundary that no scenario before it passes, everything that can go wrong there; wherever else it, or
    another, passes one, the next of those in turn.
    """
    turn = count(PLAYED.index(scenario))
    for boundary, nth in numbered(passed):
        ways = ways_to_fail(boundary)
        if nth > 1 or first_at[boundary] != scenario.name:
            ways = [ways[next(turn) % len(ways)]]
        yield from (Crash(boundary, nth, mode) for mode in ways)


@pytest.mark.parametrize("scenario", PLAYED, ids=str)
def test_at_every_boundary_in_every_way(theatre, first_at, scenario):
    house = theatre(scenario)
    wrongs = {}
    for crash in crashes_of(scenario, house.passed(), first_at):
        if wrong := house.crash(crash):
            wrongs[str(crash)] = wrong
    assert wrongs == {}


def test_every_boundary_of_the_engine_is_passed(theatre):
    passed = {boundary for scenario in PLAYED for boundary in theatre(scenario).passed()}
    assert set(CALLS) <= passed
    assert {f"{name}: commit" for name in committing_functions()} - passed == set()


def test_every_operation_is_played(theatre):
    for scenario in PLAYED:
        theatre(scenario).passed()
    acts = HistoryEntry.objects.filter(kind=HistoryKind.ACT)
    assert set(acts.values_list("operation", flat=True)) == set(OPERATIONS)
    of_deliveries = DeadLetterAct.objects.filter(refusal="")
    assert set(of_deliveries.values_list("operation", flat=True)) == OF_DELIVERIES


@pytest.mark.parametrize("scenario", PLAYED, ids=str)
def test_the_one_who_recovers_crashes_too(theatre, scenario):
    house = theatre(scenario)
    passed = list(numbered(house.passed()))
    draw = random.Random(str(scenario))
    wrongs = {}
    for _ in range(SECOND_CRASHES):
        first, second = (Crash(*draw.choice(passed), draw.choice(DEADLY)) for _ in range(2))
        if wrong := house.crash(first, again=second):
            wrongs[f"{first}, then {second}"] = wrong
    assert wrongs == {}
