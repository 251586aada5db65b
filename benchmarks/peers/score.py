"""What the scripts of all peers have in common: their arguments, the waiting, and the figure."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

CHUNK = 500
"""Started at once, where a peer can start many at once."""
WORKERS = 2
"""Processes that do the work, as many as our cluster has."""
STEPS = 3
WITHIN = 120.0


def arguments(*flags: str, description: str | None) -> Namespace:
    """Read the arguments that every peer takes, and these."""
    parser = ArgumentParser(description=description)
    for flag in flags:
        parser.add_argument(flag, required=True)
    parser.add_argument("--sagas", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    return parser.parse_args()


def workers(peer: str, *arguments: str, number: int = WORKERS) -> list[list[str]]:
    """Return the commands that run a peer's workers, each told which it is."""
    command = [sys.executable, "-m", f"benchmarks.peers.{peer}.worker", *arguments]
    return [[*command, str(index)] for index in range(number)]


def say(*, sagas: int, began: float, ended: float) -> None:
    """Print the figure: sagas per second, from before the first start until the last was done."""
    sys.stdout.write(json.dumps({"sagas_per_s": sagas / (ended - began)}) + "\n")


def wait_until(condition: Callable[[], bool], *, what: str) -> None:
    """Look twenty times a second, which is often enough: the peer itself notes when it was done."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {WITHIN:.0f} s: {what}.")
        time.sleep(0.05)
