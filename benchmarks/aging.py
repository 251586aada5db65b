"""What age does to it: full tables against empty ones, and a worker's memory late against early."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.contest import Figures, measure, our_tables, say
from benchmarks.contestants import PROJECT, Contestant, ours
from benchmarks.databases import Databases


@dataclass(frozen=True)
class Age:
    """How much there is to be measured, and how often."""

    sagas: int
    """The workload's."""
    finished: int
    """In the full tables."""
    memory_sagas: int
    """While one cluster is watched."""
    rounds: int


def measure_age(age: Age, databases: Databases) -> dict[str, float]:
    """Return the figures of the growth."""
    with our_tables(databases):
        empty, full = _in_turns(age, databases)
        memory = _memory(age, databases)
    return {
        "finished_sagas": age.finished,
        "empty": empty,
        "full": full,
        "ratio": full / empty,
        "memory_sagas": age.memory_sagas,
        "memory_early_mb": memory["early_mb"],
        "memory_late_mb": memory["late_mb"],
        "memory_ratio": memory["ratio"],
    }


def _in_turns(age: Age, databases: Databases) -> tuple[float, float]:
    workload = _ours("async", age.sagas)
    empty, full = [], []
    with databases.fresh("full", template=PROJECT) as full_address:
        say(f"filling: {measure(_ours('fill', age.finished), full_address)}\n")
        for _ in range(age.rounds):
            with databases.fresh("empty", template=PROJECT) as address:
                empty.append(measure(workload, address)["sagas_per_s"])
            databases.settle()
            full.append(measure(workload, full_address)["sagas_per_s"])
            say(f"empty {empty[-1]:.0f}, full {full[-1]:.0f}\n")
    return median(empty), median(full)


def _memory(age: Age, databases: Databases) -> Figures:
    with databases.fresh("memory", template=PROJECT) as address:
        taken = measure(_ours("memory", age.memory_sagas), address)
    say(f"memory: {taken}\n")
    return taken


def _ours(what: str, sagas: int) -> Contestant:
    return Contestant(what, ours(what), sagas, warm_up=200, template=PROJECT)
