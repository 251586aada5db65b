"""Selected sagas as a file: CSV for people, NDJSON for programs. Neither input nor results are in it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

MOST = 50_000
AT_ONCE = 2000
COLUMNS = (
    "id",
    "definition",
    "version",
    "key",
    "status",
    "direction",
    "attention",
    "steps_done",
    "steps_total",
    "current_step",
    "error_class",
    "error",
    "started_by",
    "correlation_id",
    "created_at",
    "updated_at",
    "ended_at",
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these at its beginning, a spreadsheet would take a text for a formula."""


class _Line:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _rows(sagas: QuerySet[Any]) -> Iterator[tuple[Any, ...]]:
    newest = sagas.order_by("-created_at", "-pk").values_list(*COLUMNS)
    yield from newest[:MOST].iterator(chunk_size=AT_ONCE)


def _csv(sagas: QuerySet[Any]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    for row in _rows(sagas):
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    text = "" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(FORMULAS) else text


def _ndjson(sagas: QuerySet[Any]) -> Iterator[str]:
    for row in _rows(sagas):
        yield (
            json.dumps(dict(zip(COLUMNS, row, strict=True)), cls=DjangoJSONEncoder, ensure_ascii=False) + "\n"
        )


def _action(
    name: str, label: Any, kind: str, lines: Callable[[QuerySet[Any]], Iterator[str]]
) -> Callable[[Any, HttpRequest, QuerySet[Any]], StreamingHttpResponse]:
    def act(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        file = f"sagas-{timezone.now():%Y%m%d-%H%M%S}.{name}"
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return StreamingHttpResponse(lines(queryset), content_type=f"{kind}; charset=utf-8", headers=headers)

    act.__name__ = f"export_{name}"
    return admin.action(description=label, permissions=["view"])(act)


EXPORTS = [
    _action("csv", _("Export as CSV"), "text/csv", _csv),
    _action("ndjson", _("Export as NDJSON"), "application/x-ndjson", _ndjson),
]
