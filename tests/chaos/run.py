"""One run: start everything, let it go wrong, wait until it has come to rest, and look."""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from rest_framework.authtoken.models import Token

from sagas.models import InboxMessage, InboxStatus, Permit, Saga, SemanticLock
from sagas.states import LIVE, TERMINAL
from tests.chaos.books import Books
from tests.chaos.checker import Violation, crossings, event_violations_of, violations_of
from tests.chaos.client import Client
from tests.chaos.course_rules import CLIENT
from tests.chaos.event_books import EventBooks
from tests.chaos.event_load import EventLoad, ToldOfEvents
from tests.chaos.event_plans import drawn_cases
from tests.chaos.event_rows import event_books
from tests.chaos.faults import FAULTS
from tests.chaos.ledger import Ledger
from tests.chaos.letters import Clerk
from tests.chaos.load import Load, Told
from tests.chaos.nemesis import Nemesis
from tests.chaos.observer import Observer
from tests.chaos.person import Person
from tests.chaos.plans import drawn
from tests.chaos.profiles import Profile
from tests.chaos.report import case_timeline, timeline
from tests.chaos.rows import all_books
from tests.chaos.stage import Stage
from tests.chaos.vacuity import event_figures, figures, unmet_gates
from tests.postgres import Server

MOST_TOLD = 5
"""Sagas whose timelines are printed."""


@dataclass
class Came:
    """What a run came to."""

    sagas: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    rested_after: float = 0.0
    """Seconds from the last fault until every saga had ended."""

    @property
    def is_red(self) -> bool:
        """Whether something is wrong, or the run met too little to say that nothing is."""
        return bool(self.violations or self.unmet)


def run(server: Server, folder: Path, profile: Profile, *, seed: int, mutant: str | None) -> Came:
    """Play one run on an empty database."""
    plans = drawn(random.Random(seed), profile.sagas, seconds=profile.load)
    cases = drawn_cases(random.Random(f"cases {seed}"), profile.cases, seconds=profile.load)
    tokens = {name: _token(name) for name in (CLIENT, "person", "clerk")}
    came = Came()
    with Stage(server, folder, profile, mutant=mutant) as stage, Observer(server.address) as observer:
        client = Client(lambda: stage.url, tokens[CLIENT], patience=profile.drain)
        load = Load(client, plans, least=profile.sagas)
        clerk = Clerk(Client(lambda: stage.url, tokens["clerk"], patience=profile.drain))
        events = EventLoad(client, cases, clerk, least=profile.cases)
        nemesis = Nemesis(stage, profile, random.Random(f"faults {seed}"), FAULTS)
        load.begin()
        events.begin()
        nemesis.run(until=time.monotonic() + profile.load)
        stage.calm()
        load.wait()
        events.wait()
        ledger = Ledger(stage.ledger)
        person = Person(Client(lambda: stage.url, tokens["person"], patience=profile.drain), ledger)
        came.rested_after = _drain(stage, person, clerk, profile)
        events.publish_again()
        _drain(stage, person, clerk, profile)
        came.violations += [
            Violation("F5 it ends when told to", host.name, "it had to be killed")
            for host in stage.hosts
            if not host.stop()
        ]
        stage.world("calm")
        books = list(all_books(ledger, load.told))
        of_events = event_books(ledger, events.told)
    came.sagas = len(books) + len(of_events.cases)
    came.faults = nemesis.happened
    came.met = figures(books, [host.log for host in stage.hosts]) + event_figures(of_events, events.told)
    came.violations += observer.violations
    came.violations += _client_view(load.told, books)
    came.violations += [found for each in books for found in violations_of(each)]
    came.violations += crossings(books)
    came.violations += event_violations_of(of_events)
    came.violations += [
        Violation("I25 an event is answered", "-", said) for said in [*events.told.failed, *clerk.failed]
    ]
    came.violations += [
        Violation("E20 nothing is kept by what has ended", str(left.saga_id), f"it keeps {left}")
        for model in (SemanticLock, Permit)
        for left in model.objects.filter(saga__status__in=TERMINAL)
    ]
    came.unmet = list(unmet_gates(profile, books, nemesis.happened, came.met))
    _tell(came, books, load.told, person, folder)
    _tell_of_cases(came, of_events, events.told, folder)
    return came


def _drain(stage: Stage, person: Person, clerk: Clerk, profile: Profile) -> float:
    """Wait until all has come to rest, with people's help where needed; return the seconds it took."""
    connections.close_all()  # The server was restarted since.
    began = time.monotonic()
    while _is_anything_left() and time.monotonic() < began + profile.drain:
        stage.keep_hosts()
        person.attend()
        clerk.attend()
        time.sleep(0.25)
    return time.monotonic() - began


def _is_anything_left() -> bool:
    open_ = InboxMessage.objects.filter(status__in=[InboxStatus.DUE, InboxStatus.DEAD])
    return Saga.objects.filter(status__in=LIVE).exists() or open_.exists()


def _client_view(told: Told, books: list[Books]) -> list[Violation]:
    """Compare what clients were told with what there is."""
    there = {each.id for each in books if not each.is_child}
    found = [Violation("I25 a start is answered", "-", said) for said in told.failed]
    for key, sagas in told.started.items():
        if len(sagas) > 1:
            found.append(Violation("I25 one key, one saga", key, f"it was answered with {sorted(sagas)}"))
        for saga in sagas - there:
            found.append(Violation("I26 what was answered exists", saga, f"{key} was answered with it"))
    known = set().union(*told.started.values()) if told.started else set()
    if not told.failed:
        found += [
            Violation("I26 what exists was asked for", saga, "no key knows it") for saga in there - known
        ]
    return found


def _tell(came: Came, books: list[Books], told: Told, person: Person, folder: Path) -> None:
    by_id = {each.id: each for each in books}
    faults = _faults(folder)
    say(f"faults: {dict(sorted(came.faults.items()))}")
    say(f"ends: {dict(Counter(each.status for each in books))}; stood still: {dict(person.met)}")
    say(f"at rest {came.rested_after:.0f} s after the last fault")
    say(f"met: {dict(sorted(came.met.items()))}")
    for unmet in came.unmet:
        say(f"NOT ENOUGH {unmet}")
    for violation in came.violations:
        say(f"VIOLATION {violation}")
    sagas = dict.fromkeys(violation.saga for violation in came.violations if violation.saga in by_id)
    for saga in list(sagas)[:MOST_TOLD]:
        say(f"saga {saga} {by_id[saga].definition}")
        for line in timeline(by_id[saga], told.planned.get(saga), faults):
            say(line)


def _tell_of_cases(came: Came, books: EventBooks, told: ToldOfEvents, folder: Path) -> None:
    faults = _faults(folder)
    cases = dict.fromkeys(violation.saga for violation in came.violations if violation.saga in books.by_case)
    for case in list(cases)[:MOST_TOLD]:
        say(case)
        for line in case_timeline(case, books, told.planned.get(case), faults):
            say(line)


def _faults(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "nemesis.jsonl").read_text().splitlines()]


def say(what: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _token(name: str) -> str:
    user = get_user_model().objects.create_superuser(name)
    return str(Token.objects.create(user=user).key)
