"""Errors as RFC 9457 problems, from one table, for the views of this API and no others of the project.

`code` is stable and for programs, `detail` is a sentence for people; `type` and `title` depend on the code
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView, exception_handler

from sagas.api.filters import ParametersRefused
from sagas.exceptions import (
    DuplicateKey,
    IdempotencyKeyReused,
    InputRefused,
    NotStorable,
    OperationRefused,
    SagaError,
    UnknownDefinition,
)
from sagas.models import Saga

MEDIA_TYPE = "application/problem+json"

TITLES = {
    "duplicate_key": "A live saga holds this key",
    "idempotency_key_invalid": "The idempotency key is malformed",
    "idempotency_key_reused": "The idempotency key was used for another request",
    "if_match_invalid": "If-Match is malformed",
    "input_refused": "The input does not fit the definition",
    "invalid_state": "The saga’s state does not allow this",
    "key_expired": "A step’s idempotency key may be forgotten",
    "not_storable": "The input cannot be stored",
    "past_pivot": "There is no way back",
    "permission_denied": "A permission is missing",
    "stale_revision": "The saga has changed",
    "unknown_definition": "There is no such definition",
    "validation_error": "The request is not valid",
}

Errors = list[dict[str, str]]


class ProblemViews(APIView):
    """Views that answer every error with a problem."""

    def get_exception_handler(self) -> Any:
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response) and response.exception:
            renderer = getattr(response, "accepted_renderer", None)
            if renderer is not None and renderer.format == "json":
                response.content_type = MEDIA_TYPE
        return response


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem for an error; None for one that is a fault of the server's."""
    match error:
        case SagaError():
            return _of_engine(error, context)
        case Saga.DoesNotExist():
            return _problem(404, "not_found", str(error))
        case Http404():
            error = exceptions.NotFound()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return response
    if isinstance(error, exceptions.ValidationError):
        place = "parameter" if isinstance(error, ParametersRefused) else "pointer"
        response.data = _body(
            400, "validation_error", _("The request was refused."), errors=_list(error.detail, place)
        )
    else:
        detail = error.detail if isinstance(error.detail, str) else str(error)
        response.data = _body(error.status_code, str(error.get_codes()), detail)
    return response


def _of_engine(error: SagaError, context: dict[str, Any]) -> Response | None:
    detail = str(error)
    match error:
        case OperationRefused(code=code, entry=entry):
            status = {"permission_denied": 403, "stale_revision": 412}.get(code, 409)
            saga = entry.saga
            return _problem(status, code, detail, current_status=saga.status, current_revision=saga.revision)
        case DuplicateKey(existing=saga):
            url = reverse("saga-detail", args=[saga.pk], request=context["request"])
            existing = {"id": str(saga.pk), "url": url, "status": saga.status}
            return _problem(409, error.code, detail, existing=existing)
        case IdempotencyKeyReused():
            return _problem(422, error.code, detail)
        case InputRefused():
            return _problem(400, error.code, detail, errors=list(_input_errors(error, context["request"])))
        case NotStorable():
            return _problem(400, error.code, detail, errors=[_error("pointer", "/input", error.code, detail)])
        case UnknownDefinition():
            errors = [_error("pointer", "/definition", error.code, detail)]
            return _problem(400, error.code, detail, errors=errors)
    return None


def _problem(status: int, code: str, detail: str, **extensions: Any) -> Response:
    return Response(_body(status, code, detail, **extensions), status=status)


def _body(status: int, code: str, detail: str, **extensions: Any) -> dict[str, Any]:
    return {
        "type": f"/problems/{code.replace('_', '-')}",
        "title": TITLES.get(code, HTTPStatus(status).phrase),
        "status": status,
        "detail": detail,
        "code": code,
        **extensions,
    }


def _input_errors(error: InputRefused, request: Request) -> Iterator[dict[str, str]]:
    assert isinstance(request.data, Mapping)
    given = request.data.get("input", {})
    for field, messages in error.errors.items():
        if field == "key" and "key" not in given:
            pointer = "/key"  # The business key's own, not a field of the input.
        elif field == "non_field_errors":
            pointer = "/input"
        else:
            pointer = f"/input/{_escaped(field)}"
        for message in messages:
            yield _error("pointer", pointer, error.code, str(message))


def _list(detail: Any, place: str) -> Errors:
    if place == "parameter":
        return [
            _error(place, str(name), getattr(found, "code", "invalid"), str(found))
            for name, messages in detail.items()
            for found in messages
        ]
    return list(_flat(detail, ""))


def _flat(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """Walk the errors that a serializer found, and give each its JSON pointer."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flat(
                inner, pointer if name == "non_field_errors" else f"{pointer}/{_escaped(str(name))}"
            )
    elif isinstance(detail, (list, tuple)):
        for inner in detail:
            yield from _flat(inner, pointer)
    else:
        yield _error("pointer", pointer, getattr(detail, "code", "invalid"), str(detail))


def _error(place: str, where: str, code: str, detail: str) -> dict[str, str]:
    return {place: where, "code": code, "detail": detail}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
