"""Where else a saga is told of: the project's traces and logs, at addresses that its settings give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from sagas.conf import saga_settings
from sagas.models import Saga

AROUND = timedelta(seconds=5)
"""By so much more than the attempt took is looked at: the clock of a log is not the database's."""


def trace_url(saga: Saga) -> str:
    """Return where the trace of a saga is; empty if it has none, or nobody said where."""
    template = saga_settings().trace_url
    parts = saga.traceparent.split("-")
    return template.replace("{trace_id}", parts[1]) if template and len(parts) == 4 else ""


def log_url(saga: Saga, key: str, began: datetime, ended: datetime) -> str:
    """Return where the log of an attempt is; empty if nobody said where."""
    url = saga_settings().log_url
    values = {"saga": str(saga.pk), "key": key, "from": _utc(began - AROUND), "to": _utc(ended + AROUND)}
    for name, value in values.items():
        url = url.replace(f"{{{name}}}", quote(value, safe=""))
    return url


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
