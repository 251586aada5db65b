"""Times for people, with the exact time for programs and for whoever points at them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

NOTHING = "–"
"""Stands where a value would."""


def moment(at: datetime | None) -> SafeString | str:
    """Return a time to the second: what happened within one minute is what one reads a history for."""
    if at is None:
        return NOTHING
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), _exact(at))


def ago(at: datetime) -> SafeString:
    """Return how long ago a time is."""
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        _exact(at),
        _("%(time)s ago") % {"time": timesince(at, depth=1)},
    )


def _exact(at: datetime) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")
