"""Addresses below the API's where nothing is: a problem as any other, and no page of the project's."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponseBase, HttpResponsePermanentRedirect
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from sagas.api.problems import OpenViews


class NotHere(OpenViews):
    """Answers whatever no address of this API matches, whoever asks and with whatever method."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in ("GET", "HEAD") and settings.APPEND_SLASH and _is_there(_slashed(request)):
            # As Django does for what no address matches.
            return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        path = {"path": request.path}
        if _is_there(_slashed(request)):
            raise NotFound(_("There is nothing at %(path)s. Ask %(path)s/, with the slash.") % path)
        raise NotFound(
            _("There is nothing at %(path)s. Compare it with the addresses that the API’s schema lists.")
            % path
        )


def _slashed(request: Any) -> str:
    return "" if request.path_info.endswith("/") else f"{request.path_info}/"


def _is_there(path: str) -> bool:
    if not path:
        return False
    try:
        return getattr(resolve(path).func, "cls", None) is not NotHere
    except Resolver404:
        return False
