"""The results: what is written down of a run, and the bars that it is held against."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.contest import Figures, Record

FILE = Path(__file__).with_name("results.json")

PEERS = ("dbos", "celery", "procrastinate")
ASIDE = ("celery_everysec", "limit_one_statement")
"""Measured along and told, but held against nothing: they do something else than the others."""

Document: TypeAlias = dict[str, Any]


def read() -> Document:
    """Return what was written last, or nothing."""
    if not FILE.exists():
        return {}
    document: Document = json.loads(FILE.read_text())
    return document


def write(document: Document) -> None:
    """Write it down."""
    FILE.write_text(json.dumps(_rounded(document), indent=2) + "\n")


def of_contest(record: Record, *, sagas: int, postgresql: str, growth: Figures | None) -> Document:
    """Return the document of a run. The growth is that of an earlier one, for it is measured apart."""
    medians = record.medians()
    rates = {name: figures.get("sagas_per_s") for name, figures in medians.items()}
    peers = {name: rates.get(name) for name in PEERS}
    fastest = max((rate for rate in peers.values() if rate is not None), default=None)
    return {
        "ours": {
            **{name: rates.get(name) for name in ("async", "sync", "atomic")},
            "latency_ms": {name: medians.get(name) for name in ("warm", "idle", "idle_notify")},
            "io": medians.get("io"),
            "growth": growth,
        },
        "peers": peers,
        "naive_q2": rates.get("naive_q2"),
        "limit": rates.get("limit"),
        "ratios": {
            "fastest_peer": _ratio(rates.get("async"), fastest),
            "limit": _ratio(rates.get("async"), rates.get("limit")),
            "sync_fastest_peer": _ratio(rates.get("sync"), fastest),
            "atomic_fastest_peer": _ratio(rates.get("atomic"), fastest),
            **{name: _ratio(rates.get("async"), rates.get(name)) for name in ("naive_q2", *ASIDE)},
        },
        "aside": {name: rates.get(name) for name in ASIDE},
        "not_run": record.not_run,
        "rounds": record.rounds,
        "sagas": sagas,
        "machine": machine(postgresql),
        "date": today(),
    }


def machine(postgresql: str) -> dict[str, Any]:
    """Describe what it ran on, without saying whose it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "django": version("django"),
        "postgresql": postgresql,
    }


def today() -> str:
    """Return the date, as it is written down."""
    return datetime.now(UTC).date().isoformat()


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach, or must not exceed."""

    title: str
    path: Sequence[str]
    """Where the figure stands in the document."""
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def figure(self, document: Document) -> float | None:
        """Return the figure, or None if it was not measured."""
        found: Any = document
        for name in self.path:
            found = (found or {}).get(name)
        return None if found is None else float(found)

    def is_met(self, figure: float) -> bool:
        """Whether this figure will do."""
        return (self.at_least is None or figure >= self.at_least) and (
            self.at_most is None or figure <= self.at_most
        )


BARS = (
    Bar("async steps, against the fastest peer", ("ratios", "fastest_peer"), at_least=12, unit="×"),
    Bar("async steps, against the bare database", ("ratios", "limit"), at_least=0.7, unit="×"),
    Bar("sync steps, against the fastest peer", ("ratios", "sync_fastest_peer"), at_least=9, unit="×"),
    Bar("atomic steps, against the fastest peer", ("ratios", "atomic_fastest_peer"), at_least=5, unit="×"),
    Bar("waiting steps: all done", ("ours", "io", "seconds"), at_most=20, unit=" s"),
    Bar("waiting steps: memory of a worker", ("ours", "io", "worker_rss_mb"), at_most=150, unit=" MB"),
    Bar("latency at work, median", ("ours", "latency_ms", "warm", "p50"), at_most=25, unit=" ms"),
    Bar("latency at work, 99th percentile", ("ours", "latency_ms", "warm", "p99"), at_most=100, unit=" ms"),
    Bar("latency when idle, median", ("ours", "latency_ms", "idle", "p50"), at_most=150, unit=" ms"),
    Bar(
        "latency when idle, woken by NOTIFY, median",
        ("ours", "latency_ms", "idle_notify", "p50"),
        at_most=35,
        unit=" ms",
    ),
    Bar("full tables, against empty ones", ("ours", "growth", "ratio"), at_least=0.9, unit="×"),
    Bar("memory of a worker, late against early", ("ours", "growth", "memory_ratio"), at_most=1.05, unit="×"),
)


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours / theirs


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return round(value, 3 if abs(value) < 100 else 1)
    return value
