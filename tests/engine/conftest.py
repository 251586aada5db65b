"""Shared by the engine's tests."""

from __future__ import annotations

import pytest

from tests.engine.alarms import alarms, committing
from tests.engine.hands import Hand

__all__ = ["alarms", "committing"]


@pytest.fixture
def hand() -> Hand:
    """A worker whose moves the test makes."""
    return Hand()
