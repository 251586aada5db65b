"""The saga and the trace on every log line and in every call, in threads and in tasks alike.

A saga keeps the W3C trace context it was started in, and each attempt is a child of it. With OpenTelemetry
installed and set up, an attempt is a span too, and a saga belongs to the trace of the span that started it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from hashlib import blake2b
from typing import Any, Protocol, Self
from uuid import UUID

try:
    from opentelemetry import context as otel_context
    from opentelemetry import trace as otel
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    otel = None  # type: ignore[assignment]

current_saga: ContextVar[UUID | None] = ContextVar("current_saga", default=None)
current_traceparent: ContextVar[str] = ContextVar("current_traceparent", default="")

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


class OneLineFormatter(logging.Formatter):
    """Writes each message in one line, whatever it repeats of what sagas were given; tracebacks follow it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class Traced(Protocol):
    """What is called within a trace; asked only where there is one."""

    @property
    def label(self) -> str:
        """A name that no other call has."""

    @property
    def attributes(self) -> Mapping[str, str | int]:
        """What a span tells of it."""


class tracing:  # noqa: N801  # Reads like a function, as context managers do.
    """Mark every log line and call of the block as belonging to this saga, and to its trace if it has one.

    Within it `current_traceparent` is the context of this very attempt.
    """

    __slots__ = ("_call", "_entered", "_saga_id", "_span", "_tokens", "_traceparent")

    def __init__(self, saga_id: UUID | None, traceparent: str = "", call: Traced | None = None) -> None:
        self._saga_id = saga_id
        self._traceparent = traceparent
        self._call = call
        self._span: Any = None
        self._entered: Any = None

    def __enter__(self) -> Self:
        traceparent = self._traceparent
        if self._call is not None:
            if _is_recording():
                traceparent = self._start_span(self._call)
            elif traceparent:
                traceparent = _child(traceparent, self._call.label)
        self._tokens: tuple[Token[UUID | None], Token[str]] = (
            current_saga.set(self._saga_id),
            current_traceparent.set(traceparent),
        )
        return self

    def __exit__(self, *error: object) -> None:
        saga, traceparent = self._tokens
        # A task that its loop left behind is cleared away in another context, where nothing was set.
        with suppress(ValueError):
            current_saga.reset(saga)
            current_traceparent.reset(traceparent)
        if self._span is not None:
            otel_context.detach(self._entered)
            self._span.end()

    def came_to(self, outcome: str, error: str) -> None:
        """Let the span tell what came of the call; `error` is empty if all is well."""
        if self._span is not None:
            self._span.set_attribute("saga.outcome", outcome)
            if error:
                self._span.set_status(otel.Status(otel.StatusCode.ERROR, error))

    def _start_span(self, call: Traced) -> str:
        attributes = call.attributes
        parent = TraceContextTextMapPropagator().extract({"traceparent": self._traceparent})
        name = f"{attributes['saga.definition']} {attributes['saga.step']}"
        self._span = otel.get_tracer("sagas").start_span(name, context=parent, attributes=dict(attributes))
        self._entered = otel_context.attach(otel.set_span_in_context(self._span, parent))
        return _of_current_span()


def trace_headers() -> dict[str, str]:
    """Return the headers by which a request that a step makes joins the saga's trace, if it has one."""
    traceparent = current_traceparent.get()
    return {"traceparent": traceparent} if traceparent else {}


def traceparent_of(given: str | None) -> str:
    """Return the trace context that a new saga keeps: the one given, or that of the code that starts it.

    Empty where there is none. What is no W3C trace context counts as none, as the standard wants it.
    """
    if given is not None and (match := _TRACEPARENT.fullmatch(given.strip())):
        return "-".join(("00", *match.groups()[:3]))
    if _is_recording() and (of_span := _of_current_span()):
        return of_span
    return current_traceparent.get()


def _is_recording() -> bool:
    return otel is not None and not isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider)


def _of_current_span() -> str:
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def _child(traceparent: str, label: str) -> str:
    """Return the context of a call: the same whenever it is asked for, and another for each attempt."""
    version, trace_id, _parent, flags = traceparent.split("-")
    return f"{version}-{trace_id}-{blake2b(label.encode(), digest_size=8).hexdigest()}-{flags}"


class SagaIdFilter(logging.Filter):
    """Give each record a ``saga_id`` and a ``trace_id``: those it was written for, or ``-``."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "saga_id"):
            record.saga_id = current_saga.get() or "-"
        if not hasattr(record, "trace_id"):
            record.trace_id = current_traceparent.get()[3:35] or "-"
        return True
