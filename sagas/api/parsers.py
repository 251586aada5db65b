"""JSON bodies. What no database stores, or other programs read otherwise, is refused at the door."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser

from sagas.canonical import MAX_BYTES, MAX_DEPTH, gate


class PayloadTooLarge(APIException):
    """The body is longer than any that is accepted."""

    status_code = 413
    default_code = "payload_too_large"


class SagaJSONParser(JSONParser):
    """Reads JSON of at most 256 KiB and passes it through the gate that guards what is stored."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        text = stream.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise PayloadTooLarge(
                _("The body has more than %(most)d bytes. Store the bulk elsewhere and send its id.")
                % {"most": MAX_BYTES}
            )
        return gate(read_json(text), "The body")


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text, or raise `ParseError`."""
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_refuse_constant, object_pairs_hook=_without_twins)
    except RecursionError:
        raise ParseError(
            _("The JSON is nested too deeply: %(most)d levels are the most.") % {"most": MAX_DEPTH}
        ) from None
    except ValueError as error:
        raise ParseError(_("This is no JSON: %(error)s") % {"error": error}) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(_("JSON has no %(name)s. Send null or a string.") % {"name": name})


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParseError(_("The name %(name)r stands twice in one object.") % {"name": twice})
    return found
