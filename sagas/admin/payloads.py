"""JSON values for people."""

from __future__ import annotations

import json
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

SHORT = 60
"""Characters that stand in one line."""
MOST_SHOWN = 64 * 1024
"""Characters of one value: more would make the page heavy and is read by nobody."""


def payload(value: Any) -> SafeString:
    """Return a JSON value, indented, as text of the page. Of an object each member is cut by itself."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= SHORT or not isinstance(value, dict):
        shown = line if len(line) <= SHORT else cut(value, MOST_SHOWN, indent=2)
        return format_html('<pre class="saga-payload">{}</pre>', shown)
    members = (
        f"  {json.dumps(name, ensure_ascii=False)}: {cut(inner, MOST_SHOWN, indent=2)}".replace("\n", "\n  ")
        for name, inner in value.items()
    )
    return format_html('<pre class="saga-payload">{{\n{}\n}}</pre>', ",\n".join(members))


def cut(value: Any, most: int, *, indent: int | None = None) -> str:
    """Return a value as JSON text, and of a long one the beginning and how much more there is."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if len(text) <= most:
        return text
    return f"{text[:most]}\n" + _("… %(number)d more characters") % {"number": len(text) - most}
