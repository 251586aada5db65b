"""What can be wrong with elements other than plain steps, and with templates."""

from __future__ import annotations

from collections.abc import Iterator

from sagas.definitions.children import SubSaga, SubSagas
from sagas.definitions.definition import SagaDefinition
from sagas.definitions.elements import Element, Step, is_async
from sagas.definitions.problems import Problem
from sagas.definitions.waits import Approval, Sleep, WaitForEvent
from sagas.keys import template_names


def element_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    """Find what is wrong with a definition's elements and templates."""
    outline = definition.outline()
    for stage in outline.stages:
        for element in stage:
            if len(stage) > 1 and isinstance(element, (Approval, Sleep)):
                yield Problem(
                    "sagas.E013",
                    f"{_where(definition, element)} stands inside Parallel, where only steps, waits for "
                    "events and child sagas may.",
                    "Give it a stage of its own.",
                )
            if isinstance(element, (SubSaga, SubSagas)):
                yield from _child_problems(definition, element)
            if isinstance(element, Step) and element.optional and element.pivot:
                yield Problem(
                    "sagas.E011",
                    f"{_where(definition, element)} is declared optional and pivot, and a saga cannot go on "
                    "without what decides it.",
                    "Remove one of the two.",
                )
            if isinstance(element, Step) and element.atomic:
                yield from _atomic_problems(definition, element)
            yield from _template_problems(definition, element)
    for lock in definition.locks:
        yield from _names_problems(f"The lock {lock!r} of {definition.name}", lock, _input_names(definition))


def _child_problems(definition: type[SagaDefinition], element: SubSaga | SubSagas) -> Iterator[Problem]:
    outline = definition.outline()
    after = outline.pivot_stage is not None and outline.stage_of[element.name] > outline.pivot_stage
    child = element.definition
    if after:
        return
    if child.outline().pivot_stage is not None or not child.undo_after_completion:
        yield Problem(
            "sagas.E014",
            f"{_where(definition, element)} stands before the pivot, and {child.name} could not be undone "
            "once it has completed.",
            f"Set undo_after_completion = True on {child.name} and give it no pivot, or move it behind the "
            "pivot.",
        )


def _atomic_problems(definition: type[SagaDefinition], step: Step) -> Iterator[Problem]:
    if is_async(step.action):
        yield Problem(
            "sagas.E016",
            f"{_where(definition, step)} is atomic and async, and a transaction belongs to one thread.",
            "Write it as a def.",
        )
    if step.isolated:
        yield Problem(
            "sagas.E016",
            f"{_where(definition, step)} is atomic and isolated, but its transaction belongs to one process.",
            "Choose one of them.",
        )
    if step.participant is not None or step.probe is not None:
        yield Problem(
            "sagas.E016",
            f"{_where(definition, step)} is atomic and has a participant or a probe, but what happens "
            "outside of this database cannot be part of its transaction.",
            "Remove them, or atomic=True.",
        )


def _template_problems(definition: type[SagaDefinition], element: Element) -> Iterator[Problem]:
    if isinstance(element, Step) and element.idempotency_key is not None:
        template = element.idempotency_key
        what = f"The idempotency key {template!r} of {_where(definition, element)}"
    elif isinstance(element, WaitForEvent):
        template = element.correlate
        what = f"The correlation {template!r} of {_where(definition, element)}"
        if ":" in element.topic or not element.topic:
            yield Problem(
                "sagas.E015",
                f"{_where(definition, element)} waits for the topic {element.topic!r}, which is no topic.",
                "Name topics with lower-case words joined by dots.",
            )
    else:
        return
    outline = definition.outline()
    stage = outline.stage_of[element.name]
    earlier = {name for name, number in outline.stage_of.items() if number < stage}
    yield from _names_problems(what, template, _input_names(definition) | {"key"}, earlier)


def _names_problems(
    what: str, template: str, names: set[str], steps: set[str] | None = None
) -> Iterator[Problem]:
    try:
        asked = template_names(template)
    except ValueError as error:
        yield Problem("sagas.E008", f"{what} is no template: {error}.", "Write plain names in braces.")
        return
    unknown = sorted(
        name
        for name in asked
        if name not in names and not ("." in name and name.partition(".")[0] in (steps or set()))
    )
    if unknown:
        yield Problem(
            "sagas.E008",
            f"{what} asks for {', '.join(unknown)}, which nobody gives.",
            f"Use {', '.join(sorted(names))}, or fields of earlier results: {{step.field}}.",
        )


def _input_names(definition: type[SagaDefinition]) -> set[str]:
    return set(definition.input().fields) if definition.input is not None else set()


def _where(definition: type[SagaDefinition], element: Element) -> str:
    return f"{type(element).__name__} {element.name!r} of {definition.name}"
