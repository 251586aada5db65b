"""Who publishes what and who reacts, learnt from the latest events."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagas import Event, PermanentFailure, publish
from sagas.choreography.arrivals import arrive
from sagas.figures import letter_groups, traffic
from sagas.figures.traffic import CODE, UNDO
from sagas.keys import case_id
from sagas.models import InboxMessage
from sagas.operations.performing import perform
from sagas.testing import run_due, run_saga
from tests.choreography.conftest import choreography, listener
from tests.samples import step

__all__ = ["choreography", "listener"]

pytestmark = pytest.mark.django_db


def test_publishers_are_known_whoever_they_are(define, play, listener, choreography):
    listener.on("sold", lambda event: publish(Event("taken")), name="office")
    listener.on("sold.undo", undoes="sold")
    choreography("box.office", starts="sold", ends="seen")
    publish(Event("sold", correlation_id="case"))
    arrive({"id": "1", "source": "https://away.example", "type": "sold"})
    play.always("pay", lambda ctx: ctx.publish("paid", {}))
    run_saga(define(step("pay"), name="samples.payer"), {})
    run_due()
    perform(case_id("case"), "compensate", by="ops")
    run_due()

    told = {(each.publisher, each.topic): each.number for each in traffic().told}
    assert told == {
        (CODE, "sold"): 1,
        ("https://away.example", "sold"): 1,
        ("office", "taken"): 2,
        ("samples.payer", "paid"): 1,
        (UNDO, "sold.undo"): 1,
    }


def test_how_deliveries_fare_and_how_long_they_take(listener):
    listener.on("sold")
    publish(*(Event("sold") for _ in range(4)))
    run_due()
    first, second, third, fourth = InboxMessage.objects.order_by("pk")
    for seconds, message in enumerate([first, second]):
        message.ended_at = message.at + timedelta(seconds=seconds)
        message.save()
    InboxMessage.objects.filter(pk=third.pk).update(status="dead", ended_at=None)
    InboxMessage.objects.filter(pk=fourth.pk).update(status="due", due_at=fourth.at, ended_at=None)

    [heard] = traffic().heard
    assert (heard.subscriber, heard.done, heard.due, heard.dead) == ("tests.sold", 2, 1, 1)
    assert (heard.p50, heard.p95) == (timedelta(0), timedelta(seconds=1))


def test_where_nothing_happened_nothing_is_told():
    seen = traffic()
    assert (seen.told, seen.heard, seen.since, seen.topics) == ((), (), None, [])


def test_dead_letters_are_grouped_by_what_they_have_in_common(listener):
    def refuse(event: Event) -> None:
        raise PermanentFailure("no")

    listener.on("sold", refuse)
    listener.on("lost", refuse)
    publish(Event("sold"), Event("lost"), Event("sold"))
    run_due()

    groups = letter_groups()
    assert [(each.topic, each.error_class, each.number) for each in groups] == [
        ("sold", "PermanentFailure", 2),
        ("lost", "PermanentFailure", 1),
    ]
    assert groups[0].one == max(InboxMessage.objects.filter(topic="sold").values_list("pk", flat=True))
