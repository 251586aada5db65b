"""Shared by the engine's tests."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.engine.alarms import alarms, committing
from tests.engine.hands import Hand
from tests.samples import OrderInput, step

__all__ = ["alarms", "committing"]


@pytest.fixture
def hand() -> Hand:
    """A worker whose moves the test makes."""
    return Hand()


@pytest.fixture
def orders(define):
    """A definition with a key of its own."""
    return define(step("pay"), input=OrderInput, key="order:{order_id}")


@pytest.fixture
def brisk(settings):
    """A runner that does not linger."""
    settings.SAGAS = settings.SAGAS | {
        "LINGER": timedelta(milliseconds=300),
        "POLL": timedelta(milliseconds=20),
        "BUDGET": timedelta(seconds=10),
        "THREADS": 4,
    }
