"""Pages by cursor. There is no total: counting a million rows is not worth a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from rest_framework.exceptions import ErrorDetail, NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from sagas.api.filters import ParametersRefused


class BoundedCursorPagination(CursorPagination, ABC):
    """Pages of a bounded size. A cursor that this API never gave is refused."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # Sagas started together were created at one moment, and within it the cursor counts them.
    offset_cutoff = 1_000_000

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor: Cursor | None = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                self.check_position(str(cursor.position))
        except NotFound:
            text = _("This is no cursor of this list. Follow its links, or leave the cursor out.")
            raise ParametersRefused({"cursor": [ErrorDetail(text, code="invalid")]}) from None
        return cursor

    @abstractmethod
    def check_position(self, position: str) -> None:
        """Raise `NotFound` unless this may be where a page begins."""


class TimeCursorPagination(BoundedCursorPagination):
    """Ordered by a time."""

    def check_position(self, position: str) -> None:
        try:
            if parse_datetime(position) is not None:
                return
        except ValueError:
            pass
        raise NotFound


class SagaPagination(TimeCursorPagination):
    """Newest first, unless asked for another of a few orders."""

    ordering = ("-created_at", "-id")

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        asked = request.query_params.get("ordering", "-created_at")
        return (asked, "-id" if asked.startswith("-") else "id")


class NumberPagination(BoundedCursorPagination):
    """In the order of their numbers, the lowest first."""

    ordering = "id"

    def check_position(self, position: str) -> None:
        if not (position.isdecimal() and len(position) < 19):
            raise NotFound


class LatestPagination(NumberPagination):
    """The highest first."""

    ordering = "-id"
