"""The web server of the demonstration, on this machine only."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import timedelta

HOST = "127.0.0.1"
START = timedelta(seconds=30)


def is_free(port: int) -> bool:
    """Say whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until_open(port: int, *, look_up: Callable[[], None]) -> None:
    """Wait until a server listens there. `look_up` is called at every look and ends the wait by raising."""
    given_up_at = time.monotonic() + START.total_seconds()
    while time.monotonic() < given_up_at:
        look_up()
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"The web server did not open port {port} within {START.total_seconds():.0f} seconds.")
