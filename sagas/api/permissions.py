"""Who may look. Who may act, the operations judge themselves."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from sagas.models import Saga
from sagas.operations.actors import Actor

VIEW = "sagas.view_saga"


class MayView(BasePermission):
    """Reading takes the permission to view sagas."""

    message = _("This takes the permission sagas.view_saga.")

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method not in ("GET", "HEAD") or Actor.of(request.user).may(VIEW)


class MayViewSaga(BasePermission):
    """Reading takes the permission to view sagas, or this one. Other requests the operations judge."""

    message = MayView.message

    def has_permission(self, request: Request, view: APIView) -> bool:
        return getattr(view, "action", None) != "list" or Actor.of(request.user).may(VIEW)

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        assert isinstance(obj, Saga)
        return Actor.of(request.user).may(VIEW, obj)
