"""What can be wrong with a definition, found before a saga runs.

Pure: a definition in, problems out. `manage.py check` reports them and `start` refuses a definition that
has any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from rest_framework.serializers import Serializer

from sagas.definitions.definition import SagaDefinition
from sagas.definitions.element_checks import element_problems
from sagas.definitions.elements import Element, Parallel, Step
from sagas.definitions.problems import Problem
from sagas.definitions.registry import Registry
from sagas.keys import template_names

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
MAX_NAME = 100


def registry_problems(registry: Registry) -> Iterator[Problem]:
    """Find what is wrong with the registered definitions, one by one and together."""
    for clash in registry.clashes:
        taken = registry[clash.name]
        yield Problem(
            "sagas.E001",
            f"{_path(clash)} and {_path(taken)} are both named {clash.name!r}, so a stored "
            "saga could be either.",
            f"Give {clash.__qualname__} a name of its own.",
        )
    for definition in registry.values():
        yield from definition_problems(definition)


def definition_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    """Find what is wrong with one definition."""
    if malformed := list(_shape_problems(definition)):
        yield from malformed
        return  # What follows reads the steps.
    for step in definition.outline().steps.values():
        if isinstance(step, Step):
            yield from _step_problems(definition, step)
    yield from element_problems(definition)
    yield from _pivot_problems(definition)
    yield from _name_problems(definition)
    yield from _key_problems(definition)


def _shape_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    where = _path(definition)
    if not NAME.fullmatch(definition.name) or len(definition.name) > MAX_NAME:
        yield Problem(
            "sagas.E007",
            f"{where} has the name {definition.name!r}, which is not lower-case words joined by dots.",
            "Name it like 'orders.place_order', with at most 100 characters.",
        )
    if definition.input is None or not (
        isinstance(definition.input, type) and issubclass(definition.input, Serializer)
    ):
        yield Problem(
            "sagas.E009",
            f"{where} has no serializer as its input, so nothing says what a saga may be started with.",
            "Set input to a rest_framework.serializers.Serializer subclass.",
        )
    elements = [
        inner
        for element in definition.steps
        for inner in (element.elements if isinstance(element, Parallel) else (element,))
    ]
    if not elements:
        yield Problem("sagas.E010", f"{where} has no steps.", "List at least one Step in `steps`.")
    for element in elements:
        if not isinstance(element, Element):
            yield Problem(
                "sagas.E010",
                f"{where} has {element!r} among its steps, which is no element of a saga.",
                "Wrap the function: Step(function, compensation=…).",
            )


def _step_problems(definition: type[SagaDefinition], step: Step) -> Iterator[Problem]:
    where = f"Step {step.name!r} of {definition.name}"
    kinds = {
        "compensation": step.compensation is not None,
        "read_only": step.read_only,
        "irrevocable": bool(step.irrevocable),
        "pivot": step.pivot,
    }
    said = [kind for kind, present in kinds.items() if present]
    if not said and not _after_pivot(definition, step):
        yield Problem(
            "sagas.E002",
            f"{where} has no compensation, so a saga that turns back would leave its effect behind.",
            "Give it compensation=…, or declare it read_only=True, irrevocable='why' or pivot=True.",
        )
    if _after_pivot(definition, step) and step.compensation is not None:
        yield Problem(
            "sagas.E004",
            f"{where} stands after the pivot and has a compensation, which could never run.",
            "Remove the compensation, or move the pivot behind the step.",
        )
    elif len(said) > 1:
        yield Problem(
            "sagas.E011",
            f"{where} is declared {' and '.join(said)}, and only one of them can be true.",
            "Keep the one that says how the step is undone.",
        )
    for role, function in (("action", step.action), ("compensation", step.compensation)):
        if function is not None and not callable(function):
            yield Problem(
                "sagas.E006", f"{where} has {function!r} as its {role}, which cannot be called.", ""
            )
        elif function is not None and getattr(function, "__name__", "<lambda>") == "<lambda>":
            yield Problem(
                "sagas.E006",
                f"{where} has a function without a name as its {role}, so no log or trace could name it.",
                "Write it as a def at module level.",
            )


def _pivot_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    outline = definition.outline()
    pivots = [step.name for step in outline.steps.values() if step.pivot]
    if len(pivots) > 1:
        yield Problem(
            "sagas.E003",
            f"{definition.name} has the pivots {', '.join(pivots)}, and after the first there is no way "
            "back.",
            "Keep pivot=True on the one step that decides.",
        )
    for stage in outline.stages:
        for step in stage:
            if step.pivot and len(stage) > 1:
                yield Problem(
                    "sagas.E012",
                    f"The pivot {step.name!r} of {definition.name} runs beside other steps, which might "
                    "fail after it.",
                    "Give the pivot a stage of its own, outside Parallel.",
                )


def _name_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    names = Counter(step.name for stage in definition.outline().stages for step in stage)
    for name, times in names.items():
        if times > 1:
            yield Problem(
                "sagas.E005",
                f"{definition.name} has {times} steps named {name!r}, and a step is known by its name.",
                "Name the later ones: Step(…, name='…').",
            )
        if not NAME.fullmatch(name) or len(name) > MAX_NAME:
            yield Problem(
                "sagas.E007",
                f"{definition.name} has a step named {name!r}, which is not a lower-case name.",
                "Give it one: Step(…, name='…').",
            )


def _key_problems(definition: type[SagaDefinition]) -> Iterator[Problem]:
    if definition.key is None or definition.input is None:
        return
    fields = definition.input().fields
    try:
        unknown = sorted(template_names(definition.key) - set(fields))
    except ValueError as error:
        yield Problem(
            "sagas.E008",
            f"The key {definition.key!r} of {definition.name} is no key template: {error}.",
            "Write plain names of input fields in braces: 'order:{order_id}'.",
        )
        return
    if unknown:
        yield Problem(
            "sagas.E008",
            f"The key {definition.key!r} of {definition.name} asks for {', '.join(unknown)}, which no input "
            "field gives.",
            f"Use fields of {definition.input.__qualname__}: {', '.join(fields)}.",
        )


def _after_pivot(definition: type[SagaDefinition], step: Step) -> bool:
    outline = definition.outline()
    return outline.pivot_stage is not None and outline.stage_of[step.name] > outline.pivot_stage


def _path(definition: type[SagaDefinition]) -> str:
    return f"{definition.__module__}.{definition.__qualname__}"
