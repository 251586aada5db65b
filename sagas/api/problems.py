"""Errors as RFC 9457 problems, from one table, for the views of this API and no others of the project.

`code` is stable and for programs, `detail` is a sentence for people; `type` and `title` depend on the code
alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.urls import reverse as path_of
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView, exception_handler, set_rollback

from sagas.api.filters import ParametersRefused
from sagas.api.kinds import KINDS
from sagas.conf import saga_settings
from sagas.exceptions import (
    AnswerRefused,
    BatchRefused,
    DuplicateKey,
    IdempotencyKeyReused,
    InputRefused,
    LetterRefused,
    LockHeld,
    NotStorable,
    OperationRefused,
    PermissionRefused,
    SagaError,
    UnknownDefinition,
)
from sagas.models import Saga
from sagas.operations.performing import availability

log = logging.getLogger("sagas.api")

MEDIA_TYPE = "application/problem+json"
SOON = "1"
"""Seconds after which it is worth trying what failed for want of a free database."""
OF_OPERATIONS = {
    "invalid_argument": 400,
    "permission_denied": 403,
    "own_saga": 403,
    "stale_revision": 412,
}
"""The statuses of refused operations that are no conflict with the saga's state."""
OF_BATCHES = {"batch_running": 409, "invalid_state": 409, "nothing_selected": 409, "too_many": 422}
"""The statuses of refused batches with which the request itself was not wrong."""
OF_LETTERS = {"permission_denied": 403, "reason_required": 400}
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

Errors = list[dict[str, str]]


class ProblemViews(APIView):
    """Views that answer every error with a problem."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not hasattr(self, str(request.method).lower()):
            self.http_method_not_allowed(request)  # Whoever asks: no credentials would help.
        super().initial(request, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response) and response.exception:
            renderer = getattr(response, "accepted_renderer", None)
            if renderer is not None and renderer.format == "json":
                response.content_type = MEDIA_TYPE
        return response


class OpenViews(ProblemViews):
    """Views for whoever asks, and no part of the schema; their problems are JSON whatever is accepted."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        return JSONRenderer(), "application/json"


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem for an error. A fault of the server's is logged, and told in no detail."""
    request: Request = context["request"]
    response = _response(error, context) or _of_server(error, request)
    response.data["instance"] = request.path
    return response


def problem(status: int, code: str, detail: str, **extensions: Any) -> Response:
    """Return a problem."""
    return Response(_body(status, code, detail, **extensions), status=status)


def problem_type(code: str) -> str:
    """Return the address that names a kind of problem, and that has a page about it."""
    slug = code.replace("_", "-")
    base = saga_settings().problem_base
    return f"{base.rstrip('/')}/{slug}" if base else path_of("saga-problem", args=[slug])


def _response(error: Exception, context: dict[str, Any]) -> Response | None:
    match error:
        case SagaError():
            return _of_engine(error, context["request"])
        case Saga.DoesNotExist():
            return problem(404, "not_found", str(error))
        case InterfaceError() | OperationalError():
            log.warning("The database did not answer a request.", exc_info=error)
            set_rollback()
            busy = problem(503, "unavailable", _("The database did not answer in time. Try again."))
            busy["Retry-After"] = SOON
            return busy
        case Http404():
            error = exceptions.NotFound()
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.ValidationError):
        place = "parameter" if isinstance(error, ParametersRefused) else "pointer"
        response.data = _body(
            400, "validation_error", _("The request was refused."), errors=_list(error.detail, place)
        )
    else:
        detail = _of_method(context) if isinstance(error, exceptions.MethodNotAllowed) else str(error.detail)
        extensions = getattr(error, "extensions", {})
        response.data = _body(error.status_code, str(error.get_codes()), detail, **extensions)
        if retry_after := getattr(error, "retry_after", None):
            response["Retry-After"] = retry_after
    return response


def _of_method(context: dict[str, Any]) -> str:
    told = {
        "method": context["request"].method,
        "path": context["request"].path,
        "allowed": ", ".join(context["view"].allowed_methods),
    }
    return _("%(method)s is not for %(path)s, which takes %(allowed)s.") % told


def _of_engine(error: SagaError, request: Request) -> Response | None:
    detail = str(error)
    match error:
        case OperationRefused(code=code):
            return _of_operation(error, OF_OPERATIONS.get(code, 409), request)
        case LetterRefused(code=code, letter=letter):
            return problem(OF_LETTERS.get(code, 409), code, detail, current_status=letter.status)
        case AnswerRefused(code=code, saga=saga):
            return problem(409, code, detail, current_status=saga.status)
        case DuplicateKey(existing=saga):
            url = reverse("saga-detail", args=[saga.pk], request=request)
            existing = {"id": str(saga.pk), "url": url, "status": saga.status}
            return problem(409, error.code, detail, existing=existing)
        case LockHeld(holder=None):
            return problem(409, error.code, detail)
        case LockHeld(holder=holder):
            url = reverse("saga-detail", args=[holder], request=request)
            return problem(409, error.code, detail, holder={"id": str(holder), "url": url})
        case IdempotencyKeyReused():
            return problem(422, error.code, detail)
        case BatchRefused(code=code):
            return problem(OF_BATCHES.get(code, 400), code, detail)
        case PermissionRefused():
            return problem(403, error.code, detail)
        case InputRefused():
            return problem(400, error.code, detail, errors=list(_input_errors(error, request)))
        case NotStorable():
            return problem(400, error.code, detail, errors=[_error("pointer", "", error.code, detail)])
        case UnknownDefinition():
            errors = [_error("pointer", "/definition", error.code, detail)]
            return problem(400, error.code, detail, errors=errors)
    return None


def _of_operation(error: OperationRefused, status: int, request: Request) -> Response:
    saga = error.entry.saga
    told: dict[str, Any] = {"current_status": saga.status, "current_revision": saga.revision}
    if status == 409:
        allowed = availability(saga.pk, by=request.user)
        told["allowed_operations"] = [name for name, refusal in allowed.items() if refusal is None]
    return problem(status, error.code, str(error), **told)


def _of_server(error: Exception, request: Request) -> Response:
    """Tell whoever listens, as Django does for errors that reach it, and give the client a number to name."""
    trace = _TRACE.fullmatch(request.headers.get("traceparent", ""))
    trace_id = trace[1] if trace else uuid4().hex
    set_rollback()
    got_request_exception.send(sender=None, request=request._request)
    log.error("A request failed: %s %s, trace %s", request.method, request.path, trace_id, exc_info=error)
    code = "definition_error" if getattr(error, "code", "") == "definition_error" else "server_error"
    return problem(500, code, _("The server could not answer. Its log says why."), trace_id=trace_id)


def _body(status: int, code: str, detail: str, **extensions: Any) -> dict[str, Any]:
    return {
        "type": problem_type(code) if code in KINDS else "about:blank",
        "title": KINDS[code].title if code in KINDS else HTTPStatus(status).phrase,
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
            _error(place, str(name), error["code"], error["detail"])
            for name, messages in detail.items()
            for error in _flat(messages, "")
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
