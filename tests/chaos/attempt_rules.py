"""What must hold of attempts: marked, counted, sent under one key, and heard once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sagas.states import StepStatus
from tests.chaos.books import Books
from tests.chaos.ledger import Kind

PRESENT = {StepStatus.COMPLETED, StepStatus.COMPENSATING, StepStatus.COMPENSATED}


def one_key(books: Books) -> Iterator[str]:
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in books.of_kind(Kind.ASKED):
        keys[line.step, line.way].add(line.key)
    for (step, way), found in keys.items():
        row = books.row.get(step)
        stored = row and (row.idempotency_key if way == "forward" else row.undo_key)
        if found != {stored}:
            yield f"{step} ({way}) was asked for under {sorted(found)}, and its key is {stored}"


def results_stay(books: Books) -> Iterator[str]:
    for line in books.of_kind(Kind.ASKED):
        for name, result in line.results.items():
            if line.way == "forward" and name in books.row and books.row[name].result != result:
                yield (
                    f"attempt {line.attempt} of {line.step} was given {result} as the result of {name}, "
                    f"which is stored as {books.row[name].result}"
                )


def marked_before_sent(books: Books) -> Iterator[str]:
    for line in books.of_kind(Kind.ASKED):
        if line.seen is None:
            continue
        marked = line.seen.get("attempts" if line.way == "forward" else "undo_attempts", 0)
        if marked < line.attempt or line.attempt < 1:
            yield f"attempt {line.attempt} of {line.step} ({line.way}) was sent when {marked} were marked"


def attempts_are_sent_once(books: Books) -> Iterator[str]:
    sent = Counter((line.step, line.way, line.attempt) for line in books.of_kind(Kind.ASKED))
    for (step, way, attempt), times in sent.items():
        if times > 1:
            yield f"attempt {attempt} of {step} ({way}) was sent {times} times"
    for name, row in books.row.items():
        for way, counted in (("forward", row.attempts), ("back", row.undo_attempts)):
            numbers = [attempt for (step, each, attempt) in sent if (step, each) == (name, way)]
            if len(numbers) > counted:
                yield f"{len(numbers)} attempts of {name} ({way}) were sent, and {counted} counted"


def only_the_last_attempt_counts(books: Books) -> Iterator[str]:
    for name, row in books.row.items():
        if row.status not in PRESENT or not row.result or "attempt" not in row.result:
            continue  # It waited, was probed, or a person said what came of it.
        if row.result["attempt"] != row.attempts:
            yield f"{name} has the result of attempt {row.result['attempt']}, and {row.attempts} were made"
