"""Types of fields as the pages print them."""

from collections.abc import Callable
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, is_typeddict

from aggregator.statistics.confusion import Undefined
from tools.reference.markdown import code

_CONTAINERS: Final = {list: "array", dict: "object"}
_TYPE_NAMES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}


def type_text(annotation: Any, of_object: Callable[[type], str] = lambda _: "object") -> str:
    """A type as JSON has it; `of_object` returns the text for an object with fields."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join("null" if part is NoneType else type_text(part, of_object) for part in arguments)
    if get_origin(annotation) is Literal:
        return code(str(value).lower() if isinstance(value, bool) else value for value in arguments)
    if (container := _CONTAINERS.get(get_origin(annotation))) is not None:
        return f"{container} of {type_text(arguments[-1], of_object)}"
    if annotation is Undefined:
        return "[reasons](statistics.md#undefined-numbers)"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return code(member.value for member in annotation)
    return of_object(annotation) if is_typeddict(annotation) else _TYPE_NAMES[annotation]
