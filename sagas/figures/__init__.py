"""How many sagas stand where, how they fare, and what goes wrong: read for dashboards, changed by nobody.

`dashboard()` returns all of it, in six statements whatever the number of sagas; each part can also be read by
itself. The parts are frozen dataclasses:

* `Dashboard.tiles`: `Tiles`, the numbers that are looked at first;
* `Dashboard.half_hours`: 48 of `HalfHour`, the oldest first: how many sagas ended in it, or halted;
* `Dashboard.failure_groups`: `FailureGroup`, the largest first: sagas that halted for the same reason;
* `Dashboard.definitions`: `DefinitionFigures` by name: open, how many failed, how long it takes;
* `Dashboard.workers`: `WorkerFigures`, the latest beat first, each with what it has in hand;
* `Dashboard.acts`: `Act`, the latest first: what operators asked for.

Of events, each by itself: `traffic()`, who published what lately, who handled it and how long that took; and
`letter_groups()`, what was given up alike.

What ended or halted before the last two half hours is counted once a minute in each process.

A part that the database did not answer within two seconds is None; workers it always does.
"""

from sagas.figures.acts import Act, last_acts
from sagas.figures.census import Census, Standing, census
from sagas.figures.failures import FailureGroup, failure_groups
from sagas.figures.flow import HalfHour, Passed, half_hours, passed
from sagas.figures.letters import LetterGroup, letter_groups
from sagas.figures.overview import Dashboard, DefinitionFigures, Tiles, dashboard
from sagas.figures.speed import Duration, durations
from sagas.figures.staff import HeldSaga, WorkerFigures, workers
from sagas.figures.traffic import Heard, Told, Traffic, traffic

__all__ = [
    "Act",
    "Census",
    "Dashboard",
    "DefinitionFigures",
    "Duration",
    "FailureGroup",
    "HalfHour",
    "Heard",
    "HeldSaga",
    "LetterGroup",
    "Passed",
    "Standing",
    "Tiles",
    "Told",
    "Traffic",
    "WorkerFigures",
    "census",
    "dashboard",
    "durations",
    "failure_groups",
    "half_hours",
    "last_acts",
    "letter_groups",
    "passed",
    "traffic",
    "workers",
]
