"""Forgets subscriptions and choreographies after each test, as the tests of choreographies do."""

from tests.choreography.conftest import choreography, listener

__all__ = ["choreography", "listener"]
