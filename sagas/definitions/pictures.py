"""A definition as a picture, for Mermaid and for Graphviz: the way forward, and dotted the way back."""

from __future__ import annotations

from collections.abc import Iterator

from sagas.definitions.definition import SagaDefinition
from sagas.definitions.elements import Element, Step
from sagas.states import Direction

START, END = "started", "completed"


def mermaid(definition: type[SagaDefinition]) -> str:
    """Return the flow chart of a definition for Mermaid."""
    ids = _ids(definition)
    return "\n".join(["flowchart LR", *(f"    {line}" for line in _mermaid_lines(definition, ids))])


def _mermaid_lines(definition: type[SagaDefinition], ids: dict[str, str]) -> Iterator[str]:
    before = [f"{START}([{START}])"]
    for stage in definition.outline().stages:
        after = [ids[element.name] for element in stage]
        yield from (f"{left} --> {right}" for left in before for right in after)
        yield from (_mermaid_node(ids[element.name], element) for element in stage)
        before = after
    for left in before:
        yield f"{left} --> {END}([{END}])"
    for name, undo in _undos(definition):
        yield f'{ids[name]} -.-> u{ids[name]}["{undo}"]'


def _mermaid_node(id: str, element: Element) -> str:
    opening, closing = ("{{", "}}") if element.pivot else ("[", "]")
    return f'{id}{opening}"{element.name}"{closing}'


def dot(definition: type[SagaDefinition]) -> str:
    """Return the flow chart of a definition for Graphviz."""
    lines = [f'digraph "{definition.name}" {{', "    rankdir=LR; node [shape=box];"]
    lines += [f"    {line};" for line in _dot_lines(definition, _ids(definition))]
    return "\n".join([*lines, "}"])


def _dot_lines(definition: type[SagaDefinition], ids: dict[str, str]) -> Iterator[str]:
    yield f"{START} [shape=oval]"
    yield f"{END} [shape=oval]"
    before = [START]
    for stage in definition.outline().stages:
        after = [ids[element.name] for element in stage]
        for element in stage:
            shape = ", shape=hexagon" if element.pivot else ""
            yield f'{ids[element.name]} [label="{element.name}"{shape}]'
        yield from (f"{left} -> {right}" for left in before for right in after)
        before = after
    yield from (f"{left} -> {END}" for left in before)
    for name, undo in _undos(definition):
        yield f'u{ids[name]} [label="{undo}"]'
        yield f"{ids[name]} -> u{ids[name]} [style=dotted]"


def _ids(definition: type[SagaDefinition]) -> dict[str, str]:
    return {name: f"s{number}" for number, name in enumerate(definition.outline().steps)}


def _undos(definition: type[SagaDefinition]) -> Iterator[tuple[str, str]]:
    for name, element in definition.outline().steps.items():
        if element.is_undoable:
            of_its_own = element.function(Direction.BACK) if isinstance(element, Step) else None
            yield name, str(getattr(of_its_own, "__name__", f"undo {name}"))
