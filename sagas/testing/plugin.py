"""For ``pytest_plugins = ["sagas.testing.plugin"]``: every test begins at the real time."""

from collections.abc import Iterator

import pytest

from sagas import clock


@pytest.fixture(autouse=True)
def _real_time() -> Iterator[None]:
    yield
    clock.reset()
