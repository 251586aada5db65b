"""Holds over HTTP: at what nothing new goes forward for the time being."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from sagas.api.parsers import SagaJSONParser
from sagas.api.permissions import MayView
from sagas.api.problems import ProblemViews
from sagas.api.serializers import HoldSerializer, NewHoldSerializer
from sagas.api.throttles import SagaThrottle
from sagas.clock import DatabaseTime
from sagas.definitions import holdable
from sagas.models import Hold
from sagas.operations.actors import Actor
from sagas.operations.holding import PERMISSION, hold, release


@method_decorator(transaction.non_atomic_requests(using=Hold.objects.db), name="dispatch")
class HoldViewSet(ProblemViews, ViewSet):
    """Hold definitions and participants, and release them."""

    permission_classes = (IsAuthenticated, MayView)
    parser_classes = (SagaJSONParser,)
    throttle_classes = (SagaThrottle,)

    @property
    def throttle_scope(self) -> str | None:
        """Whom a project may bound: those who operate."""
        return None if self.request.method in SAFE_METHODS else "saga-operate"

    def list(self, request: Request) -> Response:
        """List the holds in force."""
        in_force = Hold.objects.filter(Q(until=None) | Q(until__gt=DatabaseTime()))
        return Response(HoldSerializer(in_force.order_by("pk"), many=True).data)

    def create(self, request: Request) -> Response:
        """Hold a definition or a participant. Holding what is held changes reason and end: 200."""
        self._require_permission(request)
        form = NewHoldSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked: dict[str, Any] = form.validated_data
        what = _one_of(asked)
        is_new = not Hold.objects.filter(**{"definition": "", "participant": ""} | what).exists()
        made = hold(**what, by=request.user, reason=asked["reason"], until=asked.get("until"))
        made.refresh_from_db()
        return Response(HoldSerializer(made).data, status=201 if is_new else 200)

    def destroy(self, request: Request, pk: str) -> Response:
        """End a hold. Answers with how many sagas waited for that and go on now."""
        self._require_permission(request)
        found = Hold.objects.filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
        if found is None:
            raise NotFound(_("There is no hold %(id)s.") % {"id": pk})
        return Response({"released": release(found, by=request.user)})

    def _require_permission(self, request: Request) -> None:
        if not Actor.of(request.user).may(PERMISSION):
            message = _("Holding takes the permission %(name)s.") % {"name": PERMISSION}
            self.permission_denied(request, message=message, code="permission_denied")


def _one_of(asked: dict[str, Any]) -> dict[str, str]:
    """Return the one of definition and participant that is named, if the code knows it."""
    what = {name: asked[name] for name in ("definition", "participant") if asked.get(name)}
    if len(what) != 1:
        raise serializers.ValidationError(_("Name a definition or a participant, and not both."))
    [(kind, name)] = what.items()
    known = holdable()[kind]
    if name not in known:
        told = ", ".join(sorted(known)) or _("none")
        text = _("There is no %(kind)s %(name)r. There are: %(known)s.")
        raise serializers.ValidationError({kind: [text % {"kind": kind, "name": name, "known": told}]})
    return what
