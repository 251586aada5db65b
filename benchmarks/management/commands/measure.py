"""Measures one thing on the database at hand, and prints its figures as one line of JSON."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from benchmarks import growth, latency, naive, ours

MEASURED: dict[str, Callable[..., dict[str, float]]] = {
    "async": lambda **size: ours.throughput("benchmarks.async", **size),
    "sync": lambda **size: ours.throughput("benchmarks.sync", **size),
    "atomic": lambda **size: ours.throughput("benchmarks.atomic", **size),
    "io": lambda **size: ours.waiting("benchmarks.io", **size),
    "warm": latency.warm,
    "idle": latency.idle,
    "naive": naive.throughput,
    "fill": growth.fill,
    "memory": growth.memory,
}


class Command(BaseCommand):
    help = __doc__ or ""
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=sorted(MEASURED))
        parser.add_argument("--sagas", type=int, required=True)
        parser.add_argument("--warm-up", type=int, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        # So that what was begun is ended on the way out.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        figures = MEASURED[options["what"]](sagas=options["sagas"], warm_up=options["warm_up"])
        self.stdout.write(json.dumps(figures))
