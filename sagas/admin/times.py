"""Times for people, with the exact time for programs and for whoever points at them."""

from __future__ import annotations

from datetime import datetime, timedelta

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


def span(length: timedelta) -> str:
    """Return how long something took, to two units at most."""
    seconds = max(length.total_seconds(), 0)
    if seconds < 1:
        return _("%(number)d ms") % {"number": round(seconds * 1000)}
    if seconds < 60:
        return _("%(number)s s") % {"number": f"{seconds:.1f}"}
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours}
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds}


def until(at: datetime, now: datetime) -> SafeString:
    """Return how long it is until a time, or since when it is over."""
    told = _("in %(time)s") if at > now else _("since %(time)s")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        _exact(at),
        told % {"time": span(abs(at - now))},
    )


def _exact(at: datetime) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")
