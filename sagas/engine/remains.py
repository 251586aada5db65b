"""What is still held by sagas that cannot give it back any more.

Room is given back by whoever settles the attempt or ends the saga. Two cases leave something all the same:
code that has no limit or lock any more, where there was one, does not look for them; and the locks of an
abandoned family are needed for as long as one of its members works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from sagas.models import Permit, Saga, SagaStep, SemanticLock
from sagas.states import LIVE, TERMINAL


def clear() -> Counter[str]:
    """Free what nobody needs any more; return how much room there is now for those who wait on each name."""
    attempt = SagaStep.with_attempts_in_flight().filter(saga=OuterRef("saga"), name=OuterRef("step"))
    left = Permit.objects.filter(Q(saga__status__in=TERMINAL) | (~Q(step="") & ~Exists(attempt)))
    permits = dict(left.values_list("pk", "name"))
    if permits:
        Permit.objects.filter(pk__in=permits).delete()
    of_dead = dict(SemanticLock.objects.filter(saga__status__in=TERMINAL).values_list("name", "saga"))
    orphaned = set(of_dead.values()) - with_living_children(set(of_dead.values()))
    locks = [name for name, saga in of_dead.items() if saga in orphaned]
    if locks:
        SemanticLock.objects.filter(name__in=locks, saga__in=orphaned).delete()
    freed = Counter(f"limit:{name}" for name in permits.values())
    freed.update(f"lock:{name}" for name in locks)
    return freed


def with_living_children(sagas: Collection[UUID]) -> set[UUID]:
    """Return those of these sagas of whose children, or of their children, some live."""
    of: dict[UUID, UUID] = {saga: saga for saga in sagas}
    found: set[UUID] = set()
    while of:
        children = Saga.objects.filter(parent__in=of).values_list("pk", "parent", "status")
        below = [(child, of[parent], status) for child, parent, status in children if parent is not None]
        found |= {saga for _child, saga, status in below if status in LIVE}
        of = {child: saga for child, saga, _status in below if saga not in found}
    return found
