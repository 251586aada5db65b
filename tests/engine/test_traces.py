"""The trace that a saga was started in goes on in its attempts, its log lines and its children."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sagas import PermanentFailure, RetryLater, SubSaga, start, start_many
from sagas.engine.runner import Runner
from sagas.models import Saga
from sagas.telemetry import SagaIdFilter, current_traceparent, trace_headers, traceparent_of
from sagas.testing import advance, run_due, run_saga
from tests.samples import MINUTE, STEADY, step

pytestmark = pytest.mark.django_db

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PARENT, PARENT),
        (f" {PARENT} ", PARENT),
        (PARENT.replace("-01", "-00"), PARENT.replace("-01", "-00")),
        (f"cc{PARENT[2:]}-and-what-comes-after", PARENT),
        (None, ""),
        ("", ""),
        ("nonsense", ""),
        (PARENT.upper(), ""),
        (PARENT[:-1], ""),
        (f"ff{PARENT[2:]}", ""),
        (PARENT.replace(TRACE, "0" * 32), ""),
        (PARENT.replace("b7ad6b7169203331", "0" * 16), ""),
    ],
)
def test_what_is_kept_of_what_was_given(define, given, kept):
    assert start(define(step("a")), {}, traceparent=given).traceparent == kept


def test_each_attempt_is_a_child_of_its_own(define, play):
    play.says("a", RetryLater("busy"))
    play.always("b", PermanentFailure("no"))
    saga = run_saga(define(step("a", retry=STEADY), step("b")), {}, traceparent=PARENT)
    advance(MINUTE)
    given = [context.traceparent for call in ("a", "b", "undo a") for context in play.contexts[call]]
    assert len(given) == len(set(given)) == 4
    assert all(traceparent_of(each) == each for each in given)
    assert {each.split("-")[1] for each in given if each} == {TRACE}
    assert Saga.objects.get(pk=saga.pk).traceparent == PARENT


def test_a_saga_without_a_trace_gives_none(define, play):
    play.always("a", lambda ctx: trace_headers())
    saga = run_saga(define(step("a")), {})
    assert (play.context("a").traceparent, saga.steps.get().result) == (None, {})


@pytest.mark.parametrize("options", [{}, {"atomic": True}], ids=str)
def test_requests_that_a_step_makes_join_it(define, play, options):
    play.always("a", lambda ctx: trace_headers())
    saga = run_saga(define(step("a", **options)), {}, traceparent=PARENT)
    assert saga.steps.get().result == {"traceparent": play.context("a").traceparent}
    assert trace_headers() == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("asynchronous", [True, False])
def test_in_a_runner_too(define, play, asynchronous):
    play.always("a", lambda ctx: trace_headers())
    saga = start(define(step("a", asynchronous=asynchronous)), {}, traceparent=PARENT)
    Runner(linger=timedelta(milliseconds=50)).run()
    assert play.context("a").traceparent.split("-")[1] == TRACE
    assert saga.steps.get().result == {"traceparent": play.context("a").traceparent}


def test_children_and_sagas_that_a_step_starts_belong_to_it(define, play):
    inner = define(step("inner"), name="samples.inner", undo_after_completion=True)
    define(step("next"), name="samples.next")
    play.always("go_on", lambda ctx: {"saga": str(start("samples.next", {}).pk)})
    child = SubSaga(inner, input=lambda ctx: {})
    run_saga(define(child, step("go_on")), {}, traceparent=PARENT)
    run_due()
    assert Saga.objects.get(definition="samples.inner").traceparent == PARENT
    assert Saga.objects.get(definition="samples.next").traceparent == play.context("go_on").traceparent


def test_log_lines_carry_saga_and_trace(define, play):
    records: list[logging.LogRecord] = []

    def note(ctx):
        record = logging.LogRecord("shop", logging.INFO, "", 0, "", (), None)
        SagaIdFilter().filter(record)
        records.append(record)

    play.always("a", note)
    note(None)
    saga = run_saga(define(step("a")), {}, traceparent=PARENT)
    outside, inside = records
    assert (vars(outside)["saga_id"], vars(outside)["trace_id"]) == ("-", "-")
    assert (vars(inside)["saga_id"], vars(inside)["trace_id"]) == (saga.pk, TRACE)


class TestWithOpenTelemetry:
    @pytest.fixture
    def exporter(self, monkeypatch) -> Iterator[InMemorySpanExporter]:
        """The spans that have ended, of a tracing that is set up for the test."""
        exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        monkeypatch.setattr(otel, "_TRACER_PROVIDER", provider)
        yield exporter
        provider.shutdown()

    def spans(self, exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
        return [span for span in exporter.get_finished_spans() if span.name == name]

    def test_a_saga_belongs_to_the_trace_of_who_starts_it(self, define, exporter):
        definition = define(step("a"))
        with otel.get_tracer("shop").start_as_current_span("checkout") as span:
            [many] = start_many(definition, [{}])
            one = start(definition, {})
        trace_id = f"{span.get_span_context().trace_id:032x}"
        assert {saga.traceparent.split("-")[1] for saga in (one, many)} == {trace_id}

    def test_an_attempt_is_a_span_below_what_started_the_saga(self, define, play, exporter):
        seen: list[str] = []
        play.always("a", lambda ctx: seen.append(current_traceparent.get()))
        saga = run_saga(define(step("a"), name="samples.told"), {}, traceparent=PARENT)
        [span] = self.spans(exporter, "samples.told a")
        context = span.get_span_context()
        assert context is not None
        assert span.parent is not None
        assert (f"{context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, "b7ad6b7169203331")
        assert seen == [f"00-{TRACE}-{context.span_id:016x}-01"]
        assert span.attributes is not None
        assert dict(span.attributes) == {
            "saga.id": str(saga.pk),
            "saga.definition": "samples.told",
            "saga.step": "a",
            "saga.direction": "forward",
            "saga.call": "action",
            "saga.attempt": 1,
            "saga.outcome": "done",
        }
        assert span.status.is_ok or span.status.is_unset

    def test_an_attempt_that_failed_says_so(self, define, play, exporter):
        play.always("b", PermanentFailure("no"))
        run_saga(define(step("a"), step("b"), name="samples.told"), {})
        [failed] = self.spans(exporter, "samples.told b")
        assert (failed.status.status_code, failed.status.description) == (
            otel.StatusCode.ERROR,
            "PermanentFailure",
        )
        there, back = self.spans(exporter, "samples.told a")
        assert [(span.attributes or {})["saga.direction"] for span in (there, back)] == ["forward", "back"]

    @pytest.mark.django_db(transaction=True)
    def test_async_attempts_are_spans_too(self, define, play, exporter):
        start(define(step("a", asynchronous=True), name="samples.told"), {}, traceparent=PARENT)
        Runner(linger=timedelta(milliseconds=50)).run()
        [span] = self.spans(exporter, "samples.told a")
        assert (span.attributes or {})["saga.outcome"] == "done"


def test_without_opentelemetry_all_else_works(define, play, monkeypatch):
    monkeypatch.setattr("sagas.telemetry.otel", None)
    run_saga(define(step("a")), {}, traceparent=PARENT)
    assert (play.context("a").traceparent or "").split("-")[1] == TRACE
