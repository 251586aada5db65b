"""A page for each kind of problem: what a problem's `type` leads to."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from sagas.api.kinds import KINDS

TEMPLATE = "sagas/problems.html"


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    """Show all kinds of problem."""
    kinds = [(code.replace("_", "-"), kind) for code, kind in KINDS.items()]
    return render(request, TEMPLATE, {"title": _("Problems"), "kinds": kinds})


@require_safe
def problem(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one kind of problem: what it means, and what to do."""
    code = slug.replace("-", "_")
    if code not in KINDS:
        raise Http404(_("There is no such kind of problem."))
    kind = KINDS[code]
    return render(request, TEMPLATE, {"title": kind.title, "kind": kind, "code": code})
