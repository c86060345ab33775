"""Address, input, output and tags of items, from the paths that the settings of a source name.

They never cost an event: what events may not have is left out, and counted as a skip.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import msgspec

from sources.records import Skip, SkipReason
from sources.rules import SourceSettings
from sources.shapes import number_text, read
from sources.tables import NestedCell
from streams.events import values
from streams.events.values import InvalidValueError

_TAG: Final = "tags."
_SHARED_ORIGINALS: Final = 500
"""Originals whose fields are kept."""
_FAILURES: Final = (ValueError, TypeError, RecursionError)
"""What evaluating a path raises on a value that it does not fit."""

Search = Callable[[Any], Any]
"""Returns the value in a record; None where it has none."""
ItemFields = tuple[dict[str, Any], list[Skip]]
"""The fields of events that a record has, and what is left out of them."""


def compiled(path: str) -> Search:
    """A JMESPath. Raises ValueError for another text."""
    # Few sources need the package.
    import jmespath  # noqa: PLC0415
    from jmespath.exceptions import ArityError, UnknownFunctionError  # noqa: PLC0415

    search: Search = jmespath.compile(path).search
    try:
        search({})
    except (ArityError, UnknownFunctionError):
        raise
    except _FAILURES:
        # It may fit a record.
        pass
    return search


def path_problem(path: str) -> str | None:
    """Why a text is not a JMESPath; None if it is one."""
    try:
        compiled(path)
    except ValueError as error:
        return f"{path!r} is not JMESPath: {str(error).splitlines()[0]}"
    return None


def path_problems(settings: SourceSettings) -> Iterator[str]:
    """What is wrong with the paths of the items of a source whose records are JSON."""
    for name, path in settings.item_paths.items():
        if problem := path_problem(path):
            yield f"{name}: {problem}"


@final
@dataclass(frozen=True, slots=True)
class ItemPaths:
    """The settings `input`, `output`, `url_path` and `tags` of a source, ready to search its records."""

    searches: Mapping[str, Search]
    """By the name of the setting; tags are `tags.NAME`."""

    @classmethod
    def of(cls, settings: SourceSettings, *, columns: bool) -> "ItemPaths":
        """Those of a source. `columns`: its records are rows of a table, and the settings name columns."""
        return cls({name: _column(path) if columns else compiled(path) for name, path in settings.item_paths.items()})

    def find(self, original: Any) -> ItemFields:
        """The fields of events that a record has, and what is left out of them.

        Args:
            original: the record as it came: JSON, or a row by column. None has no field.
        """
        fields: dict[str, Any] = {}
        left_out: list[Skip] = []
        if not self.searches or original is None:
            return fields, left_out
        record = read(original, dict) if isinstance(original, bytes | msgspec.Raw) else original
        for name, search in self.searches.items():
            try:
                text = _text(search(record))
                if text is None:
                    continue
                if name == "url_path":
                    fields["url"] = values.url(text)
                elif name.startswith(_TAG):
                    fields.setdefault("tags", {}).update(values.tags({name.removeprefix(_TAG): text}) or {})
                else:
                    # A long text must not make the event too large for the decoder, which cuts it as well.
                    fields[name] = values.text(text)
            except InvalidValueError as error:
                left_out.append(Skip(SkipReason.FIELD_REFUSED, f"`{name}`: {error.detail}"))
            except _FAILURES:
                left_out.append(Skip(SkipReason.FIELD_REFUSED, f"`{name}`: the path does not fit the record"))
        return fields, left_out


@final
@dataclass(slots=True)
class SharedPaths:
    """Finds the fields of records one after the other. An original that several records share is read once.

    A task may have thousands of annotations: reading it for each would take the square of their number.
    """

    paths: ItemPaths
    _found: dict[int, tuple[Any, ItemFields]] = field(default_factory=dict)
    """By identity of the original, which is kept, so that no other one gets its identity."""

    def find(self, original: Any) -> ItemFields:
        """As `ItemPaths.find`. What it returns is shared: change nothing of it."""
        if not isinstance(original, bytes | msgspec.Raw):
            return self.paths.find(original)
        known = self._found.get(id(original))
        if known is not None:
            return known[1]
        if len(self._found) >= _SHARED_ORIGINALS:
            self._found.clear()
        found = self.paths.find(original)
        self._found[id(original)] = original, found
        return found


def _column(name: str) -> Search:
    return lambda row: row.get(name)


def _text(value: Any) -> str | None:
    """A value as text: JSON for another value; None for null and for an empty text."""
    if isinstance(value, NestedCell):
        return value.json()
    if isinstance(value, str):
        return value or None
    if isinstance(value, float) and value.is_integer():
        # OTLP has integers as text, which the mapper reads as numbers.
        return number_text(value)
    return None if value is None else msgspec.json.encode(value).decode()
