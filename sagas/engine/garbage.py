"""Keeps Python's garbage collector out of the way of batches."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 50_000
"""New objects between two collections, against Python's 700."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for garbage seldom in this process, never in what was loaded before, and in the end once.

    By default batches are interrupted to search for cycles, all of Django among the rest: 0.26 s of the 1.65
    that 2,000 sagas took. What the batches leave is freed by its reference counts all the same. A runner and
    its event loop refer to each other, and would be taken for loaded by the next: a third of a megabyte each.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect()
        gc.unfreeze()
