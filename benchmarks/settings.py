"""The project's settings, with the benchmarks' sagas among the apps."""

from sagaproject.settings import *  # noqa: F403
from sagaproject.settings import INSTALLED_APPS as PROJECT_APPS
from sagaproject.settings import Q_CLUSTER as PROJECT_CLUSTER
from sagaproject.settings import env

INSTALLED_APPS = [*PROJECT_APPS, "benchmarks"]

Q_CLUSTER = dict(PROJECT_CLUSTER)
Q_CLUSTER["broker_class"] = env.str("BENCHMARKS_BROKER", default="") or None  # None is django-q2's own.
if _bulk := env.int("BENCHMARKS_BULK", default=0):
    # For the chain of plain tasks alone: our own wake-ups are few, and one at a time serves them best.
    Q_CLUSTER |= {"bulk": _bulk, "queue_limit": 2 * _bulk}
