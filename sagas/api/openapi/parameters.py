"""Parameters, headers and answers that requests have in common."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
)

from sagas.api.bodies import (
    ProblemSerializer,
)
from sagas.api.headers import LONGEST_WAIT, MAX_IDEMPOTENCY_KEY
from sagas.api.operating import ALIASES
from sagas.operations.catalogue import OPERATIONS

TAG = "sagas"
PROBLEM = "application/problem+json"

SAGA_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The saga’s id.")
NUMBER = OpenApiParameter(
    "id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, OpenApiParameter.PATH
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!#-~]+$"},
    OpenApiParameter.HEADER,
    description="The client’s own name for this request, the same whenever it is repeated.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^"[0-9]{1,18}"$'},
    OpenApiParameter.HEADER,
    description="The ETag of the saga as it was seen; if it has changed since, nothing is done.",
)
IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag.")
PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=f"`wait=10`: answer when the saga changes, or after as many seconds, {LONGEST_WAIT} at most. "
    "Only on ASGI servers.",
)
LAST_EVENT_ID = OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="A seq.")
NAMES = sorted({*OPERATIONS, *ALIASES})
OPERATION_NAME = OpenApiParameter("name", {"type": "string", "enum": NAMES}, OpenApiParameter.PATH)
TEXT: dict[str, dict[str, Any]] = {
    "step": {"type": "string", "minLength": 1, "maxLength": 100},
    "outcome": {"type": "string"},
}
ARGUMENTS = [
    OpenApiParameter(
        name,
        TEXT.get(name, {"type": "string"}),
        OpenApiParameter.QUERY,
        description="As in the body; objects as JSON.",
    )
    for name in ("step", "outcome", "result", "input")
]


def _told(name: str, *statuses: int, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, response=list(statuses), description=description
    )


ETAG = _told("ETag", 200, 202, description="The saga’s revision.")
RETRY_AFTER = _told("Retry-After", 202, description="Seconds until it is worth looking again.")
REPLAYED = _told("Idempotency-Replayed", 202, description="`true`: an earlier request had done this.")
LOCATION = _told("Location", 202, description="Where to follow the saga.")


def problems(*statuses: int) -> dict[Any, Any]:
    """Return the answers that are problems."""
    return {(status, PROBLEM): OpenApiResponse(ProblemSerializer) for status in statuses}


def reading(body: Any, *statuses: int) -> dict[Any, Any]:
    """Return the answers to a request that only reads."""
    return {200: body, **problems(401, 403, 406, 503, *statuses)}


def writing(answers: dict[Any, Any], *statuses: int) -> dict[Any, Any]:
    """Return the answers to a request with a body."""
    return {**answers, **problems(400, 401, 403, 406, 413, 415, 429, 503, *statuses)}
