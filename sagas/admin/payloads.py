"""JSON values for people."""

from __future__ import annotations

import json
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

MOST_SHOWN = 64 * 1024
"""Characters of one value: more would make the page heavy and is read by nobody."""


def payload(value: Any) -> SafeString:
    """Return a JSON value, indented, as text of the page."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) > MOST_SHOWN:
        cut = _("… %(number)d more characters") % {"number": len(text) - MOST_SHOWN}
        text = f"{text[:MOST_SHOWN]}\n{cut}"
    return format_html('<pre class="saga-payload">{}</pre>', text)
