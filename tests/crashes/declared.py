"""Which functions of the engine commit something, as their source says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import sagas

ROOT = Path(sagas.__file__).parent
ENGINE = ("engine", "operations", "messaging", "choreography", "wake.py", "participants.py", "idempotency.py")

SAVEPOINTS = frozenset(
    {
        "choreography.handling._call_guarded",
        "engine.functions._called_atomically",
        "operations.courses._take_locks_again",
        "operations.performing._carry_out",
    }
)
"""They open a transaction only within another."""
NO_ENGINE = frozenset(
    {"engine.transactions.durably", "engine.transactions._ask", "engine.transactions.promptly"}
)
"""They commit for others, who are listed."""
BATCHES = frozenset({"operations.drafting.draft", "operations.batches._change", "operations.chunks.run"})
"""Their processes are killed in tests/processes/test_batches.py."""
RETENTION = frozenset({"operations.retention._in_chunks"})
"""It deletes what has ended: tests/operations/test_retention.py has it fail in the middle."""
LOOKING = frozenset({"operations.previewing.preview", "engine.atomics._was_committed"})
"""They write nothing."""


def committing_functions() -> set[str]:
    """Return the names of the functions that have a transaction of their own."""
    found = set()
    for name in ENGINE:
        path = ROOT / name
        for file in [path] if path.suffix else path.rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found |= {f"{module}.{function}" for function in _functions(ast.parse(file.read_text()))}
    return found - SAVEPOINTS - NO_ENGINE - LOOKING - BATCHES - RETENTION


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef) and any(map(_opens_transaction, ast.walk(node))):
            yield f"{prefix}{node.name}"


def _opens_transaction(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func) in ("transaction.atomic", "durably")
