"""The gate that every JSON value passes before it is stored.

What passes is stored by PostgreSQL's ``jsonb`` and SQLite alike and reads back equal, so that what later
steps see after a crash is what they would have seen without one. What does not is refused with its path and
reason.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sagas.exceptions import NotStorable

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_INTEGER = 2**63
MAX_FLOAT = 2.0**53
MAX_ERROR_CHARACTERS = 2000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for each call that asks for anything but its defaults."""


def gate(value: Any, what: str) -> Any:
    """Return `value`, or raise `NotStorable` naming `what` and the path of the offence.

    Allowed are ``None``, ``bool``, ``int`` within 64 bits, ``float`` within 53 bits, ``str`` without NUL
    and lone surrogates, ``list`` and ``dict`` with ``str`` keys, at most 64 levels deep and 256 KiB as
    compact UTF-8.
    """
    _check(value, what, "", MAX_DEPTH)
    size = len(_compact(value).encode())
    if size > MAX_BYTES:
        raise NotStorable(
            f"{what} is {size:,} bytes of JSON, more than the {MAX_BYTES:,} that are stored. "
            "Store the bulk elsewhere and pass its id."
        )
    return value


def canonical(value: Any) -> str:
    """Return the one JSON text of an already gated `value`: equal values give equal texts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def is_storable(text: str) -> bool:
    """Say whether every database stores the text: without NUL and lone surrogates."""
    return not _UNSTORABLE.search(text)


def clean_text(text: str, *, most: int = MAX_ERROR_CHARACTERS, keep_end: bool = False) -> str:
    """Return `text` fit to be stored as an error: no NUL, no lone surrogates, at most `most` characters."""
    if len(text) > most:
        text = "…" + text[1 - most :] if keep_end else text[: most - 1] + "…"
    return _UNSTORABLE.sub("\ufffd", text)


def _check(value: Any, what: str, path: str, levels: int) -> None:
    kind = type(value)
    if value is None or kind is bool:
        return
    if kind is str:
        _check_text(value, what, path)
    elif kind is int:
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            raise _refusal(what, path, "an integer beyond 64 bits", "Pass it as a string.")
    elif kind is float:
        if not math.isfinite(value):
            raise _refusal(what, path, f"{value}", "JSON has no such number; pass null or a string.")
        if abs(value) >= MAX_FLOAT:
            raise _refusal(
                what, path, "a float beyond 53 bits, which may not read back equal", "Pass a string."
            )
    elif kind is dict or kind is list:
        if levels == 0:
            raise _refusal(what, path, f"a value more than {MAX_DEPTH} levels deep", "Flatten it.")
        items = value.items() if kind is dict else enumerate(value)
        for key, item in items:
            if kind is dict:
                if type(key) is not str:
                    raise _refusal(what, path, f"the key {key!r}, which is not a string", "Use string keys.")
                _check_text(key, what, path)
            _check(item, what, f"{path}/{key}", levels - 1)
    else:
        raise _refusal(
            what, path, f"a {kind.__name__}", "Convert it to JSON types, money and dates to strings."
        )


def _check_text(text: str, what: str, path: str) -> None:
    if not is_storable(text):
        raise _refusal(what, path, "text with a NUL or a lone surrogate", "Clean it before passing it on.")


def _refusal(what: str, path: str, offence: str, advice: str) -> NotStorable:
    return NotStorable(f"{what} cannot be stored: at {path or '/'} there is {offence}. {advice}")
