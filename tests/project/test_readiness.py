"""A server's process before its first request."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = "import {module}, gc, sys; print(gc.get_freeze_count() > 100_000, 'sagas.api.viewsets' in sys.modules)"


@pytest.mark.parametrize("module", ["sagaproject.asgi", "sagaproject.wsgi"])
def test_all_is_loaded_and_no_longer_looked_through_for_garbage(module):
    command = [sys.executable, "-c", ASK.format(module=module)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True True\n"
