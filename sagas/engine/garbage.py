"""Keeps Python's garbage collector out of the way of batches."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 50_000
"""New objects between two collections, against Python's 700: a batch of sagas makes some 20,000."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for garbage seldom in this process, and never in what was loaded before.

    By default every few batches are interrupted to search all of Django for cycles, which took a
    quarter of a runner's time. What the batches leave is freed by its reference counts all the same.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
