"""For ``pytest_plugins = ["sagas.testing.plugin"]``: every test begins at the real time."""

from collections.abc import Iterator

import pytest

from sagas import clock


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    yield
    clock.reset()
    from sagas.figures.flow import forget  # Its models need Django set up, which a plugin is loaded before.

    forget()
