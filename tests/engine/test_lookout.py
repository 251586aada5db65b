"""When a runner looks for sagas, and for how many it asks."""

from __future__ import annotations

import pytest

from sagas.engine.attempts import Attempt
from sagas.engine.claims import Claimed
from sagas.engine.lookout import PATIENCE, SHORTEST_PAUSE, Lookout, pause_after
from sagas.engine.slots import Slots
from sagas.states import Direction
from tests.samples import SECOND, step

POLL = SECOND / 10
THREADS = frozenset({False})
SOME: list[Attempt] = [object()]  # type: ignore[list-item]  # That there are some is all that counts.


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr("sagas.engine.lookout.monotonic", time)
    return time


@pytest.fixture
def slots() -> Slots:
    return Slots(threads=4, tasks=2000)


@pytest.fixture
def lookout(time: Time, slots: Slots) -> Lookout:
    return Lookout(slots, batch=250, poll=POLL)


def take_threads(slots: Slots, number: int) -> None:
    for _ in range(number):
        assert slots.reserve(step("a"), Direction.FORWARD)


@pytest.mark.parametrize(
    ("idle", "pause"), [(0.0, SHORTEST_PAUSE), (0.01, SHORTEST_PAUSE), (0.2, 0.05), (0.4, 0.1), (60.0, 0.1)]
)
def test_the_longer_nothing_was_found_the_longer_the_pause(idle: float, pause: float) -> None:
    assert pause_after(idle, longest=0.1) == pause


@pytest.mark.parametrize(
    ("claimed", "pause"),
    [
        (Claimed(), 0.1),
        (Claimed(attempts=SOME), SHORTEST_PAUSE),
        (Claimed(attempts=SOME, full=True), 0.0),
        (Claimed(attempts=SOME, full=True, lacking=THREADS), 0.1),
    ],
)
def test_it_looks_at_once_where_there_is_more_and_room_for_it(
    lookout: Lookout, slots: Slots, time: Time, claimed: Claimed, pause: float
) -> None:
    take_threads(slots, 4)
    time.now += 60
    lookout.note(claimed)
    time.now += pause / 2
    assert lookout.is_time(in_hand=0) == (pause == 0.0)
    time.now += pause
    assert lookout.is_time(in_hand=0)


def test_while_suspects_are_in_hand_it_takes_no_others(lookout: Lookout, time: Time) -> None:
    lookout.note(Claimed(attempts=SOME, apart=True))
    time.now += 1
    assert not lookout.is_time(in_hand=1)
    assert lookout.is_time(in_hand=0)


def test_it_asks_for_whole_batches_until_it_lacks_a_slot(lookout: Lookout) -> None:
    assert lookout.room == 250
    lookout.note(Claimed(attempts=SOME, full=True))
    assert lookout.room == 250


def test_then_for_as_many_as_there_are_slots_of_the_scarcer_kind(lookout: Lookout, slots: Slots) -> None:
    take_threads(slots, 4)
    lookout.note(Claimed(attempts=SOME, full=True, lacking=THREADS))
    assert lookout.room == 250  # Others may need none of those, and it is some time until it looks for them.
    slots.give_back({False: 3})
    assert lookout.room == 2
    lookout.note(Claimed(attempts=SOME, full=True))
    assert lookout.room == 2
    lookout.note(Claimed(attempts=SOME))
    assert lookout.room == 250


def test_what_is_scarce_and_was_not_lacking_does_not_count(lookout: Lookout, slots: Slots) -> None:
    take_threads(slots, 4)
    lookout.note(Claimed(attempts=SOME, full=True, lacking=frozenset({True})))
    assert lookout.room == 250


def test_it_looks_when_sagas_are_let_go_and_more_is_due(lookout: Lookout, slots: Slots, time: Time) -> None:
    take_threads(slots, 4)
    lookout.note(Claimed(attempts=SOME, full=True, lacking=THREADS))
    lookout.note_let_go()
    assert not lookout.is_time(in_hand=1)  # None that needed a thread.
    slots.give_back({False: 1})
    lookout.note_let_go()
    assert lookout.is_time(in_hand=1)


def test_not_when_there_was_no_more(lookout: Lookout) -> None:
    lookout.note(Claimed(attempts=SOME))
    lookout.note_let_go()
    assert not lookout.is_time(in_hand=1)


@pytest.mark.parametrize(
    ("free", "in_hand", "is_worth_it"),
    [
        (1, 1, True),
        (1, 8, True),
        (1, 9, False),
        (2, 9, True),
        (31, 300, False),  # Of the 31 it would ask for 16.
        (32, 300, True),
        (64, 2000, True),  # A quarter of a batch, whatever is in hand.
    ],
)
def test_a_claim_waits_for_room_that_is_worth_it_but_not_for_long(
    time: Time, free: int, in_hand: int, is_worth_it: bool
) -> None:
    lookout = Lookout(Slots(threads=free, tasks=0), batch=250, poll=POLL)
    lookout.note(Claimed(attempts=SOME, full=True))
    assert lookout.is_time(in_hand=in_hand) is is_worth_it
    assert lookout.pause == pytest.approx(PATIENCE)
    time.now += PATIENCE
    assert lookout.is_time(in_hand=in_hand)


def test_without_a_free_slot_it_does_not_look(time: Time) -> None:
    slots = Slots(threads=1, tasks=0)
    lookout = Lookout(slots, batch=250, poll=POLL)
    take_threads(slots, 1)
    assert not lookout.is_time(in_hand=1)
