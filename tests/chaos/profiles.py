"""How large a run is, and what it must have met to count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What has to have happened at least so often: a run in which nothing happened proves nothing."""

    faults: int
    each_fault: int
    take_overs: int
    replays: int
    """Requests that a service had carried out before."""
    evidence: int
    """Results that came when they counted no more."""
    unknown: int
    """Outcomes nobody knew that were settled, in each of the ways in which they can be."""
    replaced: int
    """Clusters that their supervisors replaced."""
    events: int
    """Events that were published, whoever published them."""
    doubles: int
    """Events that came again."""
    letters: int
    """Dead letters that were delivered again."""
    handlers_killed: int
    """Calls of handlers that were lost with their worker."""
    overtaken: int
    """Calls of handlers that took so long that others were at it."""
    circles: int
    """Events that followed from each other for too long."""
    undone: int
    """Cases that were undone because a client wanted it."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The size of a run."""

    sagas: int
    cases: int
    """Sagas that nobody conducts."""
    hosts: int
    workers: int
    lease: int
    """Seconds."""
    load: float
    """Seconds over which sagas are started, and faults happen."""
    gap: float
    """Seconds between two faults, on average."""
    drain: float
    """Seconds in which everything has to have come to rest when the faults are over."""
    faults: tuple[str, ...]
    """The kinds of faults; each happens as often as the gates say, and then they are drawn."""
    gates: Gates


QUICK: Final = (
    "kill a busy worker",
    "kill a handler",
    "stop a worker",
    "kill a cluster",
    "kill a supervisor",
    "cut a door",
    "delay a door",
    "lose commits",
    "unanswer commits",
    "restart the database",
    "drop messages",
    "shuffle deliveries",
    "storm",
)
ALL: Final = (
    *QUICK,
    "kill a member",
    "kill a sentinel",
    "stop a host",
    "wedge a cluster",
    "hold a door",
    "end connections",
    "kill the web server",
)

PROFILES: Final = {
    "smoke": Profile(
        sagas=40,
        cases=20,
        hosts=1,
        workers=2,
        lease=3,
        load=18,
        gap=1.1,
        drain=120,
        faults=QUICK,
        gates=Gates(
            faults=8,
            each_fault=1,
            take_overs=1,
            replays=3,
            evidence=1,
            unknown=1,
            replaced=0,
            events=60,
            doubles=10,
            letters=3,
            handlers_killed=1,
            overtaken=1,
            circles=1,
            undone=1,
        ),
    ),
    "pr": Profile(
        sagas=600,
        cases=250,
        hosts=2,
        workers=2,
        lease=6,
        load=210,
        gap=2.2,
        drain=180,
        faults=ALL,
        gates=Gates(
            faults=60,
            each_fault=3,
            take_overs=10,
            replays=20,
            evidence=5,
            unknown=3,
            replaced=1,
            events=800,
            doubles=100,
            letters=15,
            handlers_killed=5,
            overtaken=5,
            circles=3,
            undone=15,
        ),
    ),
    "nightly": Profile(
        sagas=6000,
        cases=2500,
        hosts=3,
        workers=2,
        lease=10,
        load=2200,
        gap=3.6,
        drain=300,
        faults=ALL,
        gates=Gates(
            faults=400,
            each_fault=10,
            take_overs=100,
            replays=200,
            evidence=20,
            unknown=10,
            replaced=3,
            events=8000,
            doubles=1000,
            letters=150,
            handlers_killed=50,
            overtaken=50,
            circles=30,
            undone=150,
        ),
    ),
}
