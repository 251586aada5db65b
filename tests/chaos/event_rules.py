"""What must hold of events: told with what they tell of, brought to everybody once, in order, and to an end.

Each rule tells the case in which it does not hold, and what is wrong there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

from tests.chaos.event_books import HANDLED, SETTLED, EventBooks, Published
from tests.chaos.ledger import Kind
from tests.chaos.parts import BY_NAME, CLOSED, MAX_HOPS, PARTS, UNDOING

Wrongs: TypeAlias = Iterator[tuple[str, str]]


def told_with_what_they_tell_of(books: EventBooks) -> Wrongs:
    told = Counter(effect.told for effect in books.handled if effect.told)
    for effect in books.handled:
        if effect.told and effect.told not in books.event:
            yield (
                books.case_of(effect.event),
                f"{effect.subscriber} wrote its row, and its event is not there",
            )
    follows: Counter[tuple[str, str]] = Counter()
    for event in books.published:
        if (found := books.told_by(event)) is None:
            continue
        cause, part = found
        follows[cause.id, part.name] += 1
        if not part.outside and not told[event.id]:
            yield event.case, f"{event.topic} was published, and {part.name} has written nothing"
    for delivery in books.deliveries:
        part = BY_NAME[delivery.subscriber]
        wanted = int(bool(part.tells) and delivery.status in HANDLED)
        if follows[delivery.event, part.name] != wanted:
            yield (
                books.case_of(delivery.event),
                f"{part.name} is {delivery.status}, and has told {follows[delivery.event, part.name]} events",
            )
    by_saga = Counter(event.saga for event in books.published if event.saga)
    for saga in by_saga.keys() | books.written.keys():
        if by_saga[saga] != books.written.get(saga, 0):
            yield saga, f"its step wrote {books.written.get(saga, 0)} rows, and told {by_saga[saga]} events"


def what_was_answered_is_there(books: EventBooks) -> Wrongs:
    for event in books.answered - books.event.keys():
        yield event, "a client was told that it is published, and it is not there"
    for each in books.published:
        if not each.saga and not each.cause and each.id not in books.asked:
            yield each.case, f"{each.topic} is there, and nobody published it"


def each_reaches_whom_it_is_for(books: EventBooks) -> Wrongs:
    for event in books.published:
        for part in PARTS:
            delivery = books.delivery.get((event.id, part.name))
            if part.hears != event.topic:
                if delivery is not None:
                    yield event.case, f"{event.topic} was brought to {part.name}, which does not hear it"
            elif delivery is None:
                yield event.case, f"{event.topic} was never brought to {part.name}"
            elif delivery.status not in SETTLED:
                yield event.case, f"{part.name} has not handled {event.topic}: {delivery.status}"
    for delivery in books.deliveries:
        if delivery.event not in books.event:
            yield delivery.event, f"{delivery.subscriber} was brought an event that nobody published"


def handled_once(books: EventBooks) -> Wrongs:
    times = Counter((effect.event, effect.subscriber) for effect in books.effects)
    for (event, subscriber), found in times.items():
        if found > 1:
            yield books.case_of(event), f"{subscriber} took effect {found} times"
        delivery = books.delivery.get((event, subscriber))
        if not BY_NAME[subscriber].outside and (delivery is None or delivery.status not in HANDLED):
            yield books.case_of(event), f"{subscriber} took effect, and its delivery does not say so"
    for delivery in books.deliveries:
        if delivery.status in HANDLED and not times[delivery.event, delivery.subscriber]:
            yield books.case_of(delivery.event), f"{delivery.subscriber} is done, and took no effect"


def numbered_in_order(books: EventBooks) -> Wrongs:
    by_key: defaultdict[str, list[Published]] = defaultdict(list)
    for event in sorted(books.published, key=lambda each: each.number):
        if event.key:
            by_key[event.key].append(event)
        elif event.seq:
            yield event.case, f"{event.topic} has a number, and no key"
    for key, events in by_key.items():
        for before, after in pairwise(events):
            if after.seq <= before.seq:
                yield after.case, f"{after.topic} is {after.seq} of {key}, and came after {before.seq}"


def in_the_order_of_their_keys(books: EventBooks) -> Wrongs:
    reached: dict[tuple[str, str], Published] = {}
    for effect in books.effects:
        event = books.event.get(effect.event)
        if event is None or not event.key:
            continue
        before = reached.get((effect.subscriber, event.key))
        if before is not None and event.seq < before.seq:
            yield event.case, f"{effect.subscriber} took {before.seq} of {event.key} before {event.seq}"
        else:
            reached[effect.subscriber, event.key] = event


def dead_letters_hold_up_their_keys(books: EventBooks) -> Wrongs:
    first = {(effect.event, effect.subscriber): effect.at for effect in reversed(books.effects)}
    later: defaultdict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for (pk, subscriber), at in first.items():
        if pk in books.event:
            later[subscriber, books.event[pk].key].append((books.event[pk].seq, at))
    for delivery in books.deliveries:
        event = books.event.get(delivery.event)
        if delivery.status != "resolved" or event is None:
            continue
        if delivery.resolved_at is None:
            yield event.case, f"the letter to {delivery.subscriber} is resolved, and nobody has done it"
            continue
        for seq, at in later[delivery.subscriber, event.key]:
            if event.key and seq > event.seq and at < delivery.resolved_at:
                yield event.case, f"{delivery.subscriber} went past {event.seq} of {event.key}, a dead letter"


def circles_end(books: EventBooks) -> Wrongs:
    for event in books.published:
        if event.hops > MAX_HOPS + 1:
            yield event.case, f"{event.topic} is {event.hops} hops from the first"
    for delivery in books.deliveries:
        too_far = books.event.get(delivery.event)
        if too_far is None or too_far.hops <= MAX_HOPS:
            continue
        if delivery.status != "resolved" or delivery.error_class != "TooManyHops":
            yield too_far.case, f"{delivery.subscriber} is {delivery.status} after {too_far.hops} hops"
        elif "→" not in delivery.error:
            yield too_far.case, f"{delivery.subscriber} is told no chain: {delivery.error}"


def a_closed_case_goes_no_further(books: EventBooks) -> Wrongs:
    for case, events in books.by_case.items():
        first = next((event for event in events if event.is_way_back), None)
        if first is None:
            continue
        for event in events:
            if event.is_way_back or event.number < first.number:
                continue
            found = books.told_by(event)
            if found is None or not found[1].outside:
                yield case, f"{event.topic} was published when the case was closed"
            for part in PARTS:
                delivery = books.delivery.get((event.id, part.name))
                if delivery is not None and delivery.status in HANDLED:
                    yield case, f"{part.name} has handled {event.topic} when the case was closed"
        known = {event.id for event in events if not event.is_way_back}
        for effect in books.handled:
            if effect.event in known and effect.at > first.at:
                yield case, f"{effect.subscriber} took effect when the case was closed"


def undone_one_at_a_time(books: EventBooks) -> Wrongs:
    for case, events in books.by_case.items():
        back = [event for event in events if event.is_way_back]
        for before, after in pairwise(back):
            last, this = books.event.get(before.undoes), books.event.get(after.undoes)
            if last is None or this is None or this.number > last.number:
                yield case, f"{after.topic} came after {before.topic}, which undoes what was earlier"
            for part in PARTS:
                delivery = books.delivery.get((before.id, part.name))
                if delivery is not None and delivery.ended_at > after.at:
                    yield case, f"{after.topic} was published before {part.name} was done"
        if len({event.undoes for event in back}) < len(back):
            yield case, "something was undone twice"


def cases_come_to_their_ends(books: EventBooks) -> Wrongs:
    for case in books.cases:
        events = books.by_case.get(case.id, [])
        topics = [event.topic for event in events]
        back = {event.undoes for event in events if event.is_way_back}
        match case.status:
            case "completed":
                if CLOSED not in topics or back:
                    yield case.id, f"it is completed, and its events are {', '.join(topics)}"
            case "compensated":
                for event in events:
                    if event.topic in UNDOING and event.id not in back:
                        yield case.id, f"it is compensated, and {event.topic} stands"
            case _:
                yield case.id, f"it is {case.status} when all is over"


def nothing_stands_outside(books: EventBooks) -> Wrongs:
    status = {case.id: case.status for case in books.cases}
    balance: Counter[str] = Counter()
    for line in books.lines:
        if line.kind in (Kind.DONE, Kind.UNDONE):
            balance[line.saga] += 1 if line.kind is Kind.DONE else -1
    for case, left in balance.items():
        if left != int(status.get(case) == "completed"):
            yield case, f"it is {status.get(case)}, and {left} of its effects outside stand"


def calls_are_counted_before_they_are_made(books: EventBooks) -> Wrongs:
    for line in books.lines:
        if line.kind is not Kind.ASKED or line.seen is None:
            continue
        delivery = books.delivery.get((line.event, line.step))
        if delivery is not None and delivery.requeued:
            continue  # It was counted, and the count has begun anew.
        if line.seen.get("attempts", 0) < line.attempt:
            counted = line.seen.get("attempts", 0)
            yield line.saga, f"call {line.attempt} of {line.step} was made when {counted} were counted"


def nothing_is_forgotten(books: EventBooks) -> Wrongs:
    for event in books.forgotten:
        yield books.case_of(event), f"{event} was asked for again, and taken for a new event"
