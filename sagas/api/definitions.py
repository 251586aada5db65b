"""The definitions of which sagas can be started."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sagas.api.permissions import MayView
from sagas.api.problems import ProblemViews
from sagas.api.schemas import input_schema
from sagas.definitions import SagaDefinition, registry
from sagas.definitions.pictures import mermaid
from sagas.operations.actors import Actor


class Definitions(ProblemViews):
    """What can be started, and with which input."""

    permission_classes = (IsAuthenticated, MayView)

    def get(self, request: Request) -> Response:
        """List the definitions."""
        actor = Actor.of(request.user)
        return Response([_body(each, actor) for _name, each in sorted(registry.items())])


def _body(definition: type[SagaDefinition], actor: Actor) -> dict[str, Any]:
    outline = definition.outline()
    return {
        "name": definition.name,
        "version": definition.version,
        "description": getdoc(definition) or "",
        "key": definition.key,
        "start_permission": definition.start_permission,
        "may_start": actor.may(definition.start_permission),
        "steps": [
            {
                "name": name,
                "stage": outline.stage_of[name],
                "kind": step.kind,
                "pivot": step.pivot,
                "undoable": step.is_undoable,
                "read_only": step.read_only,
                "optional": step.optional,
                "irrevocable": getattr(step, "irrevocable", ""),
                "participant": step.participant.name if step.participant else None,
            }
            for name, step in outline.steps.items()
        ],
        "input_schema": input_schema(definition.input),
        "graph": mermaid(definition),
    }
