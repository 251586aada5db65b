"""What the checks find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong: a stable id, a sentence, and what to do."""

    id: str
    message: str
    hint: str
