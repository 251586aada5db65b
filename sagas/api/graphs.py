"""A definition as a picture: Mermaid text, the way forward solid and the way back dotted."""

from __future__ import annotations

from collections.abc import Iterator

from sagas.definitions import Element, SagaDefinition
from sagas.states import Direction


def mermaid(definition: type[SagaDefinition]) -> str:
    """Return the flow chart of a definition."""
    return "\n".join(["flowchart LR", *(f"    {line}" for line in _lines(definition))])


def _lines(definition: type[SagaDefinition]) -> Iterator[str]:
    before = ["started([started])"]
    ids: dict[str, str] = {}
    for stage in definition.outline().stages:
        for element in stage:
            ids[element.name] = f"s{len(ids)}"
        after = [ids[element.name] for element in stage]
        yield from (f"{left} --> {right}" for left in before for right in after)
        yield from (_node(ids[element.name], element) for element in stage)
        before = after
    for left in before:
        yield f"{left} --> completed([completed])"
    for name, element in definition.outline().steps.items():
        if element.is_undoable:
            yield f'{ids[name]} -.-> u{ids[name]}["{_undo(element)}"]'


def _node(id: str, element: Element) -> str:
    opening, closing = ("{{", "}}") if element.pivot else ("[", "]")
    return f'{id}{opening}"{element.name}"{closing}'


def _undo(element: Element) -> str:
    return str(getattr(element.function(Direction.BACK), "__name__", "undo"))
