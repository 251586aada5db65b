"""What changed in a definition from one version to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Migration:
    """How the steps of a saga begun under the version before become those of the version after.

    Steps that were neither renamed nor removed go on as they are.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    """New names by old ones."""
    removed: Sequence[str] = ()
    """Steps that are gone: passed by where they were not begun; a saga that began one is halted."""
    added: Sequence[str] = ()
    """Steps that are new: those which the saga has passed already are skipped."""
