# What sagas uses of django-fsm-2, typed. Its own annotations make `Any` of every field and method they touch,
# so that a model with a status would not be checked at all.

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeAlias

from django.db import models
from typing_extensions import TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_ST = TypeVar("_ST", contravariant=True, default=str)
_GT = TypeVar("_GT", covariant=True, default=str)
_State: TypeAlias = str | int | models.Choices

class TransitionNotAllowed(Exception):
    object: Any
    method: Callable[..., Any] | None

class RETURN_VALUE:
    def __init__(self, *allowed_states: _State) -> None: ...

class GET_STATE:
    def __init__(self, func: Callable[..., _State], states: Sequence[_State] | None = None) -> None: ...

class FSMField(models.CharField[_ST, _GT]):
    def __init__(
        self,
        verbose_name: Any = ...,
        *,
        protected: bool = ...,
        max_length: int = ...,
        choices: Sequence[tuple[str, Any]] = ...,
        default: str | Callable[[], str] = ...,
        db_index: bool = ...,
        editable: bool = ...,
        help_text: Any = ...,
    ) -> None: ...

def transition(
    field: FSMField[Any, Any] | str,
    source: _State | Sequence[_State] = "*",
    target: _State | RETURN_VALUE | GET_STATE | None = None,
    on_error: _State | None = None,
    conditions: Sequence[Callable[[Any], bool]] | None = None,
    permission: str | Callable[[Any, Any], bool] | None = None,
    custom: dict[str, Any] | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def can_proceed(bound_method: Callable[..., Any], check_conditions: bool = True) -> bool: ...
