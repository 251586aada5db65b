"""Every kind of problem this API answers with: its code, its title, and what a client does about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Kind:
    """A kind of problem. Code and title never change; the text of its page may."""

    status: int
    title: str
    what_to_do: Promise

    @classmethod
    def table(cls, *rows: tuple[str, int, str, Promise]) -> dict[str, Kind]:
        """Return the kinds by code."""
        return {code: cls(status, title, what_to_do) for code, status, title, what_to_do in rows}


KINDS = Kind.table(
    ("parse_error", 400, "The body is not JSON", _("Send one JSON value as UTF-8.")),
    ("validation_error", 400, "The request is not valid", _("Each member of errors names a place and why.")),
    (
        "not_storable",
        400,
        "A value cannot be stored",
        _("Send it as the detail says, or store it elsewhere."),
    ),
    (
        "input_refused",
        400,
        "The input does not fit the definition",
        _("Compare it with the definition’s input schema; errors names each place."),
    ),
    (
        "unknown_definition",
        400,
        "There is no such definition",
        _("List the definitions, or deploy the code."),
    ),
    (
        "invalid_argument",
        400,
        "The operation takes no such argument",
        _("Read the operation’s preview, and send what it takes."),
    ),
    (
        "empty_filter",
        400,
        "Nothing certain was selected",
        _("Name ids, or a filter that says more than that all are meant."),
    ),
    ("ambiguous_selection", 400, "Ids and a filter were given", _("Send one of them.")),
    ("reason_required", 400, "A reason is missing", _("Send a reason: it is kept with the act.")),
    (
        "idempotency_key_invalid",
        400,
        "The idempotency key is malformed",
        _("Send 1 to 200 printable ASCII characters."),
    ),
    (
        "idempotency_key_required",
        400,
        "An idempotency key is missing",
        _("Make a new key for each thing you want done, and send it again when you repeat the request."),
    ),
    ("if_match_invalid", 400, "If-Match is malformed", _("Send the ETag of the saga as you got it.")),
    ("not_authenticated", 401, "Nobody is known to ask", _("Send a token, or log in.")),
    ("authentication_failed", 401, "The credentials are not valid", _("Get a new token.")),
    (
        "callback_spent",
        401,
        "The callback has been used",
        _("Nothing is left to do: the answer that came first counts."),
    ),
    ("permission_denied", 403, "A permission is missing", _("Ask an administrator for it; detail names it.")),
    (
        "own_saga",
        403,
        "Whoever started it may not decide",
        _("Have somebody else with the permission approve or reject it."),
    ),
    ("not_found", 404, "There is no such thing", _("Check the address. Ended sagas may have been pruned.")),
    ("method_not_allowed", 405, "The method is not for this address", _("See the Allow header.")),
    ("not_acceptable", 406, "No such representation", _("Accept application/json.")),
    (
        "stream_unavailable",
        406,
        "The server cannot stream",
        _("Poll the saga with If-None-Match, or have it served by an ASGI server."),
    ),
    (
        "duplicate_key",
        409,
        "A live saga holds this key",
        _("Follow existing, or wait until it has ended."),
    ),
    ("lock_held", 409, "Another saga holds a lock", _("Repeat the request when that saga has ended.")),
    (
        "request_in_progress",
        409,
        "The same is being done right now",
        _("Repeat the request, with the same key, after the seconds in Retry-After."),
    ),
    (
        "invalid_state",
        409,
        "The saga’s state does not allow this",
        _("Look at current_status and allowed_operations."),
    ),
    (
        "batch_running",
        409,
        "Another batch does the same",
        _("Wait until the batch that detail names is done, or stop it."),
    ),
    ("nothing_selected", 409, "No saga was selected", _("List the sagas with the same filter.")),
    (
        "choreographed",
        409,
        "Its participants lead this saga",
        _("Compensate or abandon it, or see to its dead letters."),
    ),
    (
        "not_dead",
        409,
        "The delivery is no dead letter",
        _("Look at it again: somebody has acted."),
    ),
    (
        "not_done",
        409,
        "The delivery was not handled",
        _("Wait until it is, or requeue the dead letter."),
    ),
    (
        "not_due",
        409,
        "The delivery is not due",
        _("Look at it again: it was handled, or given up."),
    ),
    (
        "already_held",
        409,
        "The delivery is held already",
        _("Nothing is left to do, or release it."),
    ),
    (
        "not_held",
        409,
        "The delivery is not held",
        _("Look at it again: somebody has acted."),
    ),
    (
        "in_flight",
        409,
        "The call is being made",
        _("Hold it when the call has come back, if it is still due."),
    ),
    (
        "case_closed",
        409,
        "The case of this letter was undone",
        _("Resolve the letter: what its handler did would stand."),
    ),
    ("past_pivot", 409, "There is no way back", _("Let it complete, then start the saga that reverses it.")),
    ("pivot", 409, "The step decides whether there is a way back", _("Resolve or retry it instead.")),
    (
        "key_expired",
        409,
        "A step’s idempotency key may be forgotten",
        _("Find out at the participant what happened, and resolve the step."),
    ),
    (
        "definition_drift",
        409,
        "The code no longer fits the saga",
        _("Deploy code that has the saga’s definition with all of its steps."),
    ),
    (
        "not_waiting",
        409,
        "The saga waits for no such event",
        _("Look at waits_for, and send it again later."),
    ),
    ("stale_revision", 412, "The saga has changed", _("Look again, and decide again.")),
    ("payload_too_large", 413, "The body is too large", _("Store the bulk elsewhere and send its id.")),
    ("unsupported_media_type", 415, "The body is of no known type", _("Send application/json.")),
    (
        "idempotency_key_reused",
        422,
        "The idempotency key was used for another request",
        _("Make a new key for a new request."),
    ),
    ("too_many", 422, "Too many ids were given", _("Select by a filter.")),
    (
        "event_id_reused",
        422,
        "The event’s id was used for another event",
        _("Give each event an id of its own."),
    ),
    ("precondition_required", 428, "If-Match is missing", _("Look at the saga, and send its ETag.")),
    ("throttled", 429, "Too many requests", _("Repeat it after the seconds in Retry-After.")),
    (
        "definition_error",
        500,
        "The definition is wrong",
        _("Have its author run manage.py check."),
    ),
    (
        "server_error",
        500,
        "The server failed",
        _("Repeat the request later, with the same idempotency key. The server’s log has trace_id."),
    ),
    ("unavailable", 503, "The database does not answer", _("Repeat it after the seconds in Retry-After.")),
)
