"""Every failure path of a definition, played in memory: the engine goes the same way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas import (
    CONTINUE,
    HALT,
    Approval,
    OutcomeUnknown,
    Parallel,
    PermanentFailure,
    RetryLater,
    RetryPolicy,
    SubSaga,
    SubSagas,
    WaitForEvent,
)
from sagas.engine.exploration import explore
from sagas.testing import advance, run_saga
from tests.samples import BANK, HOUR, ONCE, SECOND, STEADY, OrderInput, Play, step

TWICE = RetryPolicy(attempts=2, first_delay=SECOND, jitter=0)


def paths(definition):
    """Trouble to: calls, status, why a person, what stands."""
    return {
        path.trouble: (" ".join(path.calls_in_short), path.status.value, path.attention, path.stands)
        for path in explore(definition)
    }


def trip(define):
    return define(
        Parallel(step("book", retry=TWICE, undo_retry=TWICE), step("look", read_only=True, retry=ONCE)),
        step("gift", optional=True, retry=ONCE, undo_retry=TWICE),
        step("tell", irrevocable="a mail cannot be unsent", retry=ONCE),
        step("pay", pivot=True, participant=BANK, retry=TWICE),
        step("send", undo=False, retry=TWICE, on_exhausted=HALT),
    )


UNSURE, LATE, UNDO = (
    "it is not known whether a step took effect",
    "a step failed after the point of no return",
    "a compensation failed",
)
USED_UP = "a step's attempts are used up"
THERE = "book look gift tell"
TRIP = {
    "cancelled before book and look": ("", "compensated", "", ()),
    "cancelled before gift": ("book look undo book", "compensated", "", ()),
    "cancelled before tell": ("book look gift undo gift undo book", "compensated", "", ()),
    "cancelled before pay": (f"{THERE} undo gift undo book", "compensated", "", ("tell",)),
    "book is refused": ("book look", "compensated", "", ()),
    "book is put off each time": ("book look book", "compensated", "", ()),
    "book never answers": ("book look book undo book", "compensated", "", ()),
    "look is refused": ("book look undo book", "compensated", "", ()),
    "look is put off each time": ("book look undo book", "compensated", "", ()),
    "look never answers": ("book look undo book", "compensated", "", ()),
    "gift is refused": (f"{THERE} pay send", "completed", "", ()),
    "gift is put off each time": (f"{THERE} pay send", "completed", "", ()),
    "gift never answers": ("book look gift undo gift tell pay send", "completed", "", ()),
    "tell is refused": (f"{THERE} undo gift undo book", "compensated", "", ()),
    "tell is put off each time": (f"{THERE} undo gift undo book", "compensated", "", ()),
    "tell never answers": (f"{THERE} undo gift undo book", "compensated", "", ("tell",)),
    "pay is refused": (f"{THERE} pay undo gift undo book", "compensated", "", ("tell",)),
    "pay is put off each time": (f"{THERE} pay ×2 undo gift undo book", "compensated", "", ("tell",)),
    "pay never answers": (f"{THERE} pay ×2", "failed", UNSURE, ("book", "gift", "tell", "pay")),
    "send is refused": (f"{THERE} pay send", "failed", LATE, ("book", "gift", "tell", "pay")),
    "send is put off each time": (f"{THERE} pay send ×2", "failed", USED_UP, ("book", "gift", "tell", "pay")),
    "send never answers": (
        f"{THERE} pay send ×2",
        "failed",
        USED_UP,
        ("book", "gift", "tell", "pay", "send"),
    ),
    "undo book is refused": ("book look undo book", "failed", UNDO, ("book",)),
    "undo book never answers": ("book look undo book ×2", "failed", UNDO, ("book",)),
    "undo gift is refused": ("book look gift undo gift", "failed", UNDO, ("book", "gift")),
    "undo gift never answers": ("book look gift undo gift ×2", "failed", UNDO, ("book", "gift")),
}


def test_each_thing_that_can_go_wrong_is_a_path(define):
    assert paths(trip(define)) == TRIP


ERRORS = {
    "is refused": PermanentFailure("no"),
    "is put off each time": RetryLater("busy"),
    "never answers": OutcomeUnknown("no answer"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("trouble", [each for each in TRIP if not each.startswith(("cancelled", "undo"))])
def test_the_engine_goes_the_same_way(define, play: Play, trouble):
    calls, status, _why, _stands = TRIP[trouble]
    name, what = trouble.split(" ", 1)
    play.always(name, ERRORS[what])
    saga = run_saga(trip(define), {})
    advance(2 * HOUR)
    saga.refresh_from_db()
    # "pay ×2" is "pay pay", and of steps side by side the first to come back is asked first.
    wanted = calls.replace("pay ×2", "pay pay").replace("send ×2", "send send")
    assert (" ".join(play.calls), saga.status) == (wanted, status)


def test_waits_and_children_go_wrong_too(define):
    inner = define(step("a"), name="samples.inner", input=OrderInput, undo_after_completion=True)
    definition = define(
        step("book"),
        SubSaga(inner, input=lambda ctx: {}, name="child"),
        SubSagas(inner, inputs=lambda ctx: [], on_failed=CONTINUE, name="children"),
        Approval("sagas.approve", timeout=HOUR, name="boss"),
        WaitForEvent("news", timeout=HOUR, on_timeout=CONTINUE, name="news"),
    )
    told = paths(definition)
    all_of_it = "book child children boss news"
    assert told["the child saga of child fails"] == ("book child undo book", "compensated", "", ())
    assert told["a child saga of children fails"] == (all_of_it, "completed", "", ())
    assert told["boss is not granted"][0] == "book child children boss undo children undo child undo book"
    assert told["the event of news does not come"] == (all_of_it, "completed", "", ())


def test_it_says_how_long_it_takes_and_asks_probes(define):
    probed = step("pay", participant=BANK, retry=STEADY, probe=lambda ctx: None)
    [path] = [each for each in explore(define(probed)) if each.trouble == "pay never answers"]
    assert path.calls_in_short[:4] == ["pay", "probe pay", "pay", "probe pay"]
    assert path.calls_in_short[-1] == "undo pay"
    assert timedelta(seconds=60) <= path.takes < timedelta(minutes=2)
