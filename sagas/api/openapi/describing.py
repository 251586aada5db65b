"""How a view is described."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.utils import extend_schema_view


class Described(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    """Has a view described by `methods`, by the names of its own."""

    @abstractmethod
    def methods(self) -> dict[str, Any]:
        """Return what describes each of the view's methods, by its name."""

    def view_replacement(self) -> Any:
        target: Any = self.target_class
        described = type(target.__name__, (target,), {"__doc__": target.__doc__})
        return extend_schema_view(**self.methods())(described)
