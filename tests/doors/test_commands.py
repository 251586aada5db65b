"""The management commands that start, show and list sagas."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from sagas import Event, PermanentFailure, clock, publish, start
from sagas.management.commandline import Interruption, duration
from sagas.models import DeadLetterAct, InboxMessage, Saga
from sagas.testing import run_due, run_saga
from tests.choreography.conftest import listener  # noqa: F401
from tests.samples import ONCE, step

pytestmark = pytest.mark.django_db

ORDER = '{"order_id": "17"}'


def run(*arguments: object) -> tuple[str, str]:
    """Run a command and return what it wrote to its two outputs."""
    out, err = StringIO(), StringIO()
    call_command(*map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def refused(*arguments: object) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    return refusal.value


# start_saga


def test_start_saga_prints_the_id_and_nothing_else(trip):
    out, err = run("start_saga", "samples.trip", "--input", ORDER)

    saga = Saga.objects.get()
    assert (out, err) == (f"{saga.pk}\n", "")
    assert saga.input == {"order_id": "17", "amount": "1.00"}
    assert saga.started_by.startswith("command:")
    assert "@" in saga.started_by


def test_start_saga_reads_its_input_from_a_file(trip, tmp_path):
    (tmp_path / "order.json").write_text(ORDER)

    run("start_saga", "samples.trip", "--input", f"@{tmp_path}/order.json")
    assert Saga.objects.get().key == "order:17"


def test_start_saga_under_one_idempotency_key_starts_one_saga(trip):
    arguments = ("start_saga", "samples.trip", "--input", ORDER, "--idempotency-key", "abc")

    assert run(*arguments) == run(*arguments)
    assert Saga.objects.count() == 1


def test_start_saga_takes_a_key_where_the_definition_makes_none(define):
    define(step("a"), name="samples.keyless")

    run("start_saga", "samples.keyless", "--key", "mine")
    assert Saga.objects.get().key == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("samples.nothing",), "There is no saga definition 'samples.nothing'."),
        (("samples.trip",), "its input is refused. order_id: This field is required."),
        (("samples.trip", "--input", "{"), "--input holds no JSON: "),
        (("samples.trip", "--input", "[1]"), "--input holds a JSON list. A saga's input is an object: {…}."),
        (("samples.trip", "--input", "@/nowhere"), "--input names the file /nowhere, which cannot be read: "),
        (("samples.trip", "--input", ORDER, "--key", "k"), "it makes its own"),
        (("samples.trip", "--input", ORDER, "--wait", "soon"), "'soon' is no duration."),
    ],
)
def test_start_saga_says_what_it_refuses_and_why(trip, arguments, told):
    assert told in str(refused("start_saga", *arguments))
    assert not Saga.objects.exists()


def test_start_saga_refuses_a_key_that_a_live_saga_holds(trip):
    run("start_saga", "samples.trip", "--input", ORDER)

    assert "holds the key 'order:17'" in str(refused("start_saga", "samples.trip", "--input", ORDER))


@pytest.fixture
def meanwhile(monkeypatch):
    """Have something happen while a command waits."""

    def have(happen) -> None:
        monkeypatch.setattr("sagas.management.commands.start_saga.time.sleep", lambda seconds: happen())

    return have


def test_start_saga_waits_until_the_saga_completed(trip, meanwhile):
    meanwhile(run_due)
    out, err = run("start_saga", "samples.trip", "--input", ORDER, "--wait", "30")

    assert UUID(out.strip()) == Saga.objects.get().pk
    assert err == "samples.trip order:17 completed.\n"


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (PermanentFailure("declined"), 3, "samples.trip order:17 ended compensated: declined"),
        (RuntimeError("down"), 4, "samples.trip order:17 is failed and needs a person: down"),
    ],
)
def test_start_saga_says_by_its_exit_code_how_the_saga_ended(trip, play, meanwhile, answer, code, told):
    play.always("pay", answer)
    meanwhile(run_due)
    error = refused("start_saga", "samples.trip", "--input", ORDER, "--wait", "30")

    assert (str(error), error.returncode) == (told, code)


def test_start_saga_does_not_wait_for_ever(trip):
    error = refused("start_saga", "samples.trip", "--input", ORDER, "--wait", "0s")

    assert "samples.trip order:17 is still pending after 0:00:00. Is a worker running?" in str(error)
    assert error.returncode == 1


# show_saga


def test_show_saga_tells_the_story(sagas):
    saga = sagas.failed()

    out, err = run("show_saga", saga.pk)
    assert err == ""
    for words in (
        "samples.trip order:1",
        str(saga.pk),
        "failed, going forward, 1/2 steps done",
        "a step's attempts are used up",
        "RetryLater: the bank is closed",
        '"order_id": "1"',
        "running → failed",
        "pay, attempt 1",
    ):
        assert words in out
    steps = out[out.index("Steps") : out.index("History")]
    assert [line.split()[:3] for line in steps.splitlines()[2:4]] == [
        ["0", "book", "completed"],
        ["1", "pay", "failed"],
    ]


def test_show_saga_finds_a_saga_by_its_key(sagas):
    saga = sagas.failed()

    assert run("show_saga", "order:1") == run("show_saga", saga.pk)


def test_show_saga_shows_the_newest_of_a_key_and_names_the_others(sagas, trip):
    older = sagas.completed()
    newer = start(trip, {"order_id": "1"})

    out, err = run("show_saga", "order:1")
    assert str(newer.pk) in out
    assert err == f"This is the newest saga with that key. Earlier ones: {older.pk}\n"


def test_show_saga_as_json_is_one_object(sagas):
    saga = sagas.failed()

    out, _err = run("show_saga", saga.pk, "--json")
    told = json.loads(out)
    assert (told["id"], told["status"], told["input"]["order_id"]) == (str(saga.pk), "failed", "1")
    assert [each["name"] for each in told["steps"]] == ["book", "pay"]
    assert told["history"][-1]["to_status"] == "failed"


@pytest.mark.parametrize("words", ["order:99", "00000000-0000-0000-0000-000000000000"])
def test_show_saga_says_when_there_is_none(sagas, words):
    sagas.pending()

    error = refused("show_saga", words)
    assert str(error) == (f"There is no saga with the id or key {words!r}. Look for it: manage.py list_sagas")


def test_nothing_that_was_stored_steers_the_terminal(define, play):
    definition = define(step("a"))
    play.says("a", PermanentFailure("\x1b[2J\x07gone\r\n"))
    saga = run_saga(definition, {}, key="\x1b[31mred")

    for out in (run("show_saga", saga.pk)[0], run("list_sagas")[0]):
        assert "\x1b" not in out
        assert "\\x1b" in out


# list_sagas


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_list_sagas_lists_the_newest_first(sagas):
    older, newer = sagas.failed(), sagas.pending()

    out, err = run("list_sagas")
    assert ids(out) == [str(newer.pk), str(older.pk)]
    assert err == ""
    [line] = [line for line in out.splitlines() if str(older.pk) in line]
    assert line.split()[1:-2] == [
        "samples.trip", "order:1", "failed", "1/2", "pay", "step_exhausted", "RetryLater"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--status", "failed"), ["failed"]),
        (("--status", "failed", "--status", "pending"), ["pending", "failed"]),
        (("--failed",), ["failed"]),
        (("--attention",), ["failed"]),
        (("--attention", "step_exhausted"), ["failed"]),
        (("--attention", "crash_loop"), []),
        (("--definition", "samples.trip"), ["pending", "failed"]),
        (("--definition", "samples.other"), []),
        (("--key", "order:1"), ["failed"]),
        (("--limit", "1"), ["pending"]),
        (("--since", "1h"), ["pending", "failed"]),
        (("--stuck",), []),
        (("--failed", "--key", "order:2"), []),
    ],
)
def test_list_sagas_narrows_the_list(sagas, arguments, expected):
    made = {"failed": sagas.failed(), "pending": sagas.pending()}

    out, err = run("list_sagas", *arguments)
    assert ids(out) == [str(made[name].pk) for name in expected]
    assert (err == "No saga is like that.\n") is (not expected)


def test_list_sagas_knows_what_is_stuck_and_what_is_old(sagas):
    sagas.failed()
    pending = sagas.pending()
    clock.shift(timedelta(hours=2))

    assert ids(run("list_sagas", "--stuck")[0]) == [str(pending.pk)]
    assert ids(run("list_sagas", "--since", "1h")[0]) == []


def test_list_sagas_as_json_is_one_object_a_line(sagas):
    sagas.failed(), sagas.pending()

    out, _err = run("list_sagas", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["pending", "failed"]
    assert run("list_sagas", "--json", "--status", "suspended") == ("", "")


def test_list_sagas_says_when_there_may_be_more(sagas):
    sagas.pending(), sagas.pending()

    _out, err = run("list_sagas", "--limit", "1")
    assert err == "There may be more than these 1. List more with --limit.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--status", "broken"), "invalid choice: 'broken'"),
        (("--limit", "0"), "'0' is not a number of at least 1."),
        (("--since", "yesterday"), "'yesterday' is no duration. Write it like 30s, 5m, 1h or 2d."),
        (("--failed", "--status", "pending"), "--failed is short for --status failed. Give one of them."),
    ],
)
def test_list_sagas_says_what_it_refuses(arguments, told):
    assert told in str(refused("list_sagas", *arguments))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30", timedelta(seconds=30)),
        ("30s", timedelta(seconds=30)),
        ("1.5s", timedelta(seconds=1.5)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
        ("2d", timedelta(days=2)),
    ],
)
def test_durations_are_read_as_people_write_them(text, length):
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "h", "-5m", "5 m", "5w", "1h30m", "9" * 20 + "d", "٣"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Exception, match=r"is no duration|longer than can be counted"):
        duration(text)


def test_an_unknown_id_and_a_key_that_looks_like_one_are_told_apart(define):
    definition = define(step("a"))
    key = str(uuid4())
    saga = start(definition, {}, key=key)

    assert str(saga.pk) in run("show_saga", key)[0]


def told_to_stop(*signals: signal.Signals) -> bool:
    with Interruption() as interruption:
        for number in signals:
            signal.raise_signal(number)
        interruption.wait(timedelta(days=1))
        return interruption.came


def test_a_signal_is_heeded_when_the_work_is_done():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        told_to_stop(signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_one_is_heeded_at_once():
    with pytest.raises(KeyboardInterrupt):
        told_to_stop(signal.SIGTERM, signal.SIGINT)


# dead_letters


@pytest.fixture
def letters(listener):  # noqa: F811
    """Three dead letters, of which two are alike."""
    listener.on("sold", lambda event: 1 / 0, retry=ONCE)
    listener.on("lost", lambda event: 1 / 0, retry=ONCE)
    publish(Event("sold"), Event("sold"), Event("lost"))
    run_due()
    return list(InboxMessage.objects.filter(status="dead").order_by("topic", "pk"))


def test_dead_letters_lists_them(letters):
    out, err = run("dead_letters", "--topic", "lost")
    assert ("ZeroDivisionError" in out, len(out.splitlines()), err) == (True, 2, "")
    lines = run("dead_letters", "--json", "--limit", 2)[0].splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["dead", "dead"]
    assert run("dead_letters", "--error-class", "Timeout") == ("", "No dead letter is like that.\n")


@pytest.mark.parametrize(("operation", "status"), [("requeue", "due"), ("resolve", "resolved")])
def test_dead_letters_acts_on_what_a_filter_finds(letters, operation, status):
    out, _err = run(
        "dead_letters", f"--{operation}", "--subscriber", "tests.sold", "--reason", "mended", "--no-input"
    )
    assert out == f"{operation.capitalize()} was requested for 2 dead letters.\n"
    assert InboxMessage.objects.filter(topic="sold", status=status).count() == 2
    act = DeadLetterAct.objects.all()[0]
    assert (act.actor_kind, act.reason, DeadLetterAct.objects.count()) == ("command", "mended", 2)


def test_dead_letters_acts_on_those_that_are_named(letters):
    out, _err = run("dead_letters", letters[0].pk, "--requeue", "--json")
    assert json.loads(out) == {"selected": 1, "done": 1, "refused": 0}
    assert InboxMessage.objects.filter(status="due").get().pk == letters[0].pk


def test_dead_letters_says_what_is_missing(letters):
    assert "Nothing was selected" in str(refused("dead_letters", "--requeue"))
    assert "Say why" in str(refused("dead_letters", "--resolve", letters[0].pk))
    assert "There is no dead letter 999" in str(refused("dead_letters", "--requeue", 999))
    assert "Nobody is there to be asked" in str(refused("dead_letters", "--requeue", "--topic", "sold"))
    assert not DeadLetterAct.objects.exists()
