"""Which worker has a saga, and what the saga itself holds."""

from __future__ import annotations

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _

from sagas.models import Saga, Worker

PROCESS = Concat("host", Value(":"), Cast("pid", CharField()))


def holder_and_locks(saga: Saga) -> tuple[str, list[str]]:
    """Return the name of the worker, empty if none has it, and those of the locks: one statement."""
    locks = saga.semantic_locks.order_by().values_list(Value("lock"), "name")
    if saga.held_by is None:
        return "", sorted(name for _what, name in locks)
    workers = Worker.objects.filter(pk=saga.held_by).annotate(name=PROCESS)
    found = list(locks.union(workers.values_list(Value("worker"), "name"), all=True))
    processes = [name for what, name in found if what == "worker"]
    holder = (
        Worker.name_of(saga.held_by, processes[0])
        if processes
        else _("a worker that is gone (%(id)s)") % {"id": saga.held_by}
    )
    return holder, sorted(name for what, name in found if what == "lock")
