"""What a run consists of: plans that its seed tells, gates, and engines that are broken on purpose."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from unittest.mock import patch

import pytest

from tests.chaos import __main__ as command
from tests.chaos import event_plans
from tests.chaos.faults import FAULTS
from tests.chaos.handmade import COMPENSATED, COMPLETED
from tests.chaos.mutants import MUTANTS
from tests.chaos.plans import CAST, drawn
from tests.chaos.profiles import PROFILES
from tests.chaos.vacuity import OF_EVENTS, WAYS, unmet_gates

SMOKE = PROFILES["smoke"]
ENOUGH = Counter(dict.fromkeys(("take_overs", "replays", "evidence", "replaced", *OF_EVENTS, *WAYS), 99))
EVERY_FAULT = Counter(SMOKE.faults)


def test_the_seed_tells_the_plan():
    first, again, other = (list(islice(drawn(random.Random(seed), 60, seconds=10), 80)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {planned.number for planned in first} == set(range(80))
    planned_first = [(planned.definition, planned.fates, planned.acts) for planned in first[:60]]
    assert all((each.definition, each.fates, each.acts) in planned_first for each in CAST)


def test_the_seed_tells_the_cases():
    first, again, other = (
        list(islice(event_plans.drawn_cases(random.Random(seed), 40, seconds=10), 60)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert {planned.number for planned in first} == set(range(60))
    planned_first = [(planned.topic, planned.fates, planned.undone_after) for planned in first[:40]]
    assert all((each.topic, each.fates, each.undone_after) in planned_first for each in event_plans.CAST)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_has_room_for_the_cast_and_knows_its_faults(profile):
    assert profile.sagas >= len(CAST)
    assert profile.cases >= len(event_plans.CAST)
    assert set(profile.faults) <= set(FAULTS)


def test_a_run_that_met_enough_passes():
    books = [COMPLETED] * 20 + [COMPENSATED] * 20
    assert list(unmet_gates(SMOKE, books, EVERY_FAULT, ENOUGH)) == []


@pytest.mark.parametrize(
    ("books", "happened", "met", "told"),
    [
        ([COMPLETED] * 40, EVERY_FAULT, ENOUGH, "compensated: 0"),
        ([COMPENSATED] * 40, EVERY_FAULT, ENOUGH, "completed: 0"),
        ([COMPLETED, COMPENSATED], EVERY_FAULT, ENOUGH, "started: 2"),
        ([COMPLETED, COMPENSATED] * 20, EVERY_FAULT - Counter(["storm"]), ENOUGH, "storm: 0"),
        ([COMPLETED, COMPENSATED] * 20, EVERY_FAULT, ENOUGH - Counter(take_overs=99), "take_overs: 0"),
        ([COMPLETED, COMPENSATED] * 20, EVERY_FAULT, ENOUGH - Counter({WAYS[1]: 99}), f"{WAYS[1]}: 0"),
        ([COMPLETED, COMPENSATED] * 20, EVERY_FAULT, ENOUGH - Counter(overtaken=99), "overtaken: 0"),
    ],
)
def test_a_run_that_met_too_little_does_not(books, happened, met, told):
    [unmet] = unmet_gates(SMOKE, books, happened, met)
    assert unmet.startswith(told)


def test_the_command_knows_every_broken_engine():
    assert set(command.MUTANTS) == set(MUTANTS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_engine_is_a_form_of_the_engine_as_it_is(name):
    try:
        MUTANTS[name].break_it()  # It fails where what it replaces has another name by now.
    finally:
        patch.stopall()
