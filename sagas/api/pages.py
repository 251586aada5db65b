"""A page for each kind of problem: what a problem's `type` leads to."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from sagas.api.kinds import KINDS
from sagas.api.problems import OpenViews

TEMPLATE = "sagas/problems.html"


class Problems(OpenViews):
    """All kinds of problem."""

    def get(self, request: Request) -> HttpResponse:
        """Show them."""
        kinds = [(code.replace("_", "-"), kind) for code, kind in KINDS.items()]
        return render(request._request, TEMPLATE, {"title": _("Problems"), "kinds": kinds})


class Problem(OpenViews):
    """One kind of problem."""

    def get(self, request: Request, slug: str) -> HttpResponse:
        """Show what it means, and what to do."""
        code = slug.replace("-", "_")
        if code not in KINDS:
            raise NotFound(
                _("There is no kind of problem %(slug)s. They are listed one level up.") % {"slug": slug}
            )
        kind = KINDS[code]
        return render(request._request, TEMPLATE, {"title": kind.title, "kind": kind, "code": code})
