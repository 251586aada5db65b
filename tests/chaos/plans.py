"""What is started in a run, what befalls each saga, and what is asked of it meanwhile: from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.chaos.pace import Timed, paced

Fates = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Act:
    """Something asked of a saga, so many seconds after it was started."""

    operation: str
    after: float


@dataclass(frozen=True, kw_only=True)
class Planned(Timed):
    """A saga to be started."""

    definition: str
    fates: Fates = field(default_factory=dict)
    acts: tuple[Act, ...] = ()
    purse: str = ""
    event: bool = False
    """Whether the event it waits for comes."""

    @property
    def key(self) -> str:
        """The client's Idempotency-Key for its start."""
        return f"start-{self.number}"

    @property
    def input(self) -> dict[str, Any]:
        return {
            "number": str(self.number),
            "plan": {call: list(fates) for call, fates in self.fates.items()},
            **({"purse": self.purse} if self.purse else {}),
        }


_linear = partial(Planned, definition="chaos.linear")
_doubtful = partial(Planned, definition="chaos.doubtful")
_atomic = partial(Planned, definition="chaos.atomic")
_dumb = partial(Planned, definition="chaos.dumb")

CAST = (
    # Each of these is in every run: what the rules are for, and what their mutants fail at.
    _linear(),
    _linear(fates={"ship": ["refuse"]}),
    _linear(fates={"charge": ["lose"], "ship": ["slow"]}),
    _linear(fates={"charge": ["slow"], "ship": ["dawdle", "slow"]}),
    _linear(fates={"charge": ["dawdle", "slow"]}),
    Planned(definition="chaos.parallel", fates={"open": ["dawdle", "slow"]}),
    Planned(definition="chaos.decided", fates={"hold": ["dawdle", "slow"]}),
    _linear(fates={"ship": ["refuse"], "undo charge": ["refuse"], "undo pack": ["busy", "error_after"]}),
    _linear(fates={"charge": ["slow"], "ship": ["slow"]}, acts=(Act("cancel", 0.3),)),
    _linear(fates={"charge": ["slow"], "ship": ["slow"]}, acts=(Act("cancel", 1.0),)),
    _linear(fates={"charge": ["slow"]}, acts=(Act("suspend", 0.4), Act("resume", 2.5))),
    Planned(definition="chaos.parallel", fates={"left": ["slow"], "right": ["refuse"]}),
    Planned(definition="chaos.parallel", fates={"left": ["lose"], "here": ["error_after"]}),
    _doubtful(fates={"doubted": ["lose"]}),
    _doubtful(fates={"doubted": ["too_late"]}),
    _doubtful(fates={"noted": ["too_late"]}),
    _doubtful(fates={"keyed": ["late"]}),
    _doubtful(fates={"asked": ["hang"]}),
    Planned(definition="chaos.decided", fates={"decide": ["lose"], "tell": ["error", "busy"]}),
    Planned(definition="chaos.decided", fates={"decide": ["slow"]}, acts=(Act("cancel", 1.0),)),
    Planned(definition="chaos.committed", fates={"commit": ["lose"]}),
    Planned(definition="chaos.committed", fates={"deliver": ["refuse"]}),
    _dumb(fates={"blind": ["lose"]}),
    _dumb(fates={"blind": ["error"], "last": ["slow"]}),
    _dumb(fates={"looked": ["lose"], "last": ["refuse"]}),
    _atomic(fates={"write": ["error", "busy"]}),
    _atomic(fates={"last": ["refuse"]}),
    Planned(definition="chaos.waiting", event=True),
    Planned(definition="chaos.waiting"),
    Planned(definition="chaos.timid", fates={"often": ["busy", "busy"]}),
    Planned(definition="chaos.family", fates={"home": ["slow"]}),
    Planned(definition="chaos.family", fates={"last": ["refuse"]}),
    Planned(definition="chaos.family", fates={"home": ["refuse"]}),
    Planned(definition="chaos.locked", fates={"spend": ["slow"]}, purse="1"),
    Planned(definition="chaos.locked", fates={"spend": ["slow", "refuse"]}, purse="1"),
    Planned(definition="chaos.locked", acts=(Act("suspend", 0.0), Act("resume", 0.3)), purse="1"),
)

CODA = (
    # Started when the faults are over: what comes late must live to do so, and is not killed before.
    *3 * (_doubtful(fates={"noted": ["too_late"]}),),
    _linear(fates={"charge": ["dawdle", "slow"]}),
    _linear(fates={"charge": ["slow"], "ship": ["slow"]}, acts=(Act("cancel", 0.5),)),
)

_KNOWING = ("lose", "error", "error_after", "busy", "slow", "slow", "hang", "late", "dawdle")
_SMART = (*_KNOWING, "too_late")
"""Where there is a tombstone, an action may come too late for its undo."""
_HERE = ("error", "error_after", "busy", "too_late")
CALLS: Mapping[str, Mapping[str, Sequence[str]]] = {
    # What may befall which step, besides a refusal.
    "chaos.linear": {"reserve": _SMART, "charge": _KNOWING, "pack": _HERE, "ship": _SMART},
    "chaos.parallel": {
        "open": _KNOWING,
        "left": _SMART,
        "right": _KNOWING,
        "here": _HERE,
        "close": _KNOWING,
    },
    "chaos.doubtful": {"doubted": _SMART, "noted": _HERE, "keyed": _KNOWING, "asked": _KNOWING},
    "chaos.decided": {"hold": _KNOWING, "decide": _KNOWING, "tell": _KNOWING},
    "chaos.committed": {"hold": _KNOWING, "commit": _KNOWING, "deliver": _KNOWING},
    "chaos.dumb": {"first": _KNOWING, "blind": ("lose", "busy", "slow", "error"), "looked": ("lose", "busy")},
    "chaos.atomic": {"first": _SMART, "write": ("error", "busy", "refuse"), "last": _KNOWING},
    "chaos.waiting": {"first": _KNOWING, "last": _KNOWING},
    "chaos.locked": {"take": _SMART, "spend": _KNOWING, "close_purse": _SMART},
    "chaos.family": {"first": _SMART, "out": _SMART, "home": _KNOWING, "last": _KNOWING},
    "chaos.timid": {"first": _KNOWING, "often": ("busy", "lose")},
}
PURSES = "123456789"
NOT_REFUSED = {"tell"}
"""What has to go on until it is done: past a pivot, and with no person's patience to try."""


def drawn(chance: random.Random, number: int, *, seconds: float) -> Iterator[Planned]:
    """Plan so many sagas over so many seconds, the cast and others by chance; and then more, without end."""
    return paced(chance, CAST, lambda: _by_chance(chance), number, seconds=seconds)


def _by_chance(chance: random.Random) -> Planned:
    definition = chance.choice(list(CALLS))
    steps = CALLS[definition]
    fates: dict[str, list[str]] = {}
    for step, possible in steps.items():
        if chance.random() < 0.25:
            fates[step] = chance.choices(possible, k=chance.choice((1, 1, 2)))
    if chance.random() < 0.25:
        refused = chance.choice([step for step in steps if step not in NOT_REFUSED])
        fates[refused] = [*fates.get(refused, [])[:1], "refuse"]
        for step in steps:
            if chance.random() < 0.3:
                fates[f"undo {step}"] = chance.choices(("busy", "error", "error_after", "refuse"), k=2)
    return Planned(
        definition=definition,
        fates=fates,
        acts=_acts_by_chance(chance),
        purse=chance.choice(PURSES) if definition == "chaos.locked" else "",
        event=chance.random() < 0.75,
    )


def _acts_by_chance(chance: random.Random) -> tuple[Act, ...]:
    after = chance.uniform(0.0, 3.0)
    draw = chance.random()
    if draw < 0.10:
        return (Act("cancel", after),)
    if draw < 0.16:
        return (Act("suspend", after), Act("resume", after + chance.uniform(0.5, 2)))
    if draw < 0.19:
        return (Act("retry", after),)
    return ()
