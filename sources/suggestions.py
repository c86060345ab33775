"""Rules to write for names of a tool that have none, as TOML. What a value means is not guessed: a person decides."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from sources.meaning import Judgement, Rules
from sources.records import Skip, UnruledName
from sources.rules import Role
from sources.shapes import finite

_SHOWN: Final = 8


@dataclass(slots=True)
class NameWithoutRule:
    """A name whose judgements, or some of them, become no event."""

    name: str
    role: Role | None
    """Who judges; None if that is not known either."""
    has_rule: bool = False
    """Whether there is a rule, which does not read all values."""
    values: list[str] = field(default_factory=list)
    """Values that no rule reads; at most those that the index keeps."""
    times: int = 0
    """How often they came."""
    seen: int = 0
    """When one came last, in milliseconds."""

    @property
    def numbers(self) -> list[float] | None:
        """The values as numbers; None if one of them is a label."""
        numbers = [finite(value) for value in self.values]
        return None if None in numbers or not numbers else [number for number in numbers if number is not None]


def names_without_rule(rules: Rules, seen: Iterable[tuple[UnruledName, int, int]]) -> list[NameWithoutRule]:
    """The names that the rules of a source do not read now, the most frequent first.

    Args:
        rules: of the source. What they have learnt to read since is left out.
        seen: names, how often each came, and when last in milliseconds.
    """
    found: dict[tuple[str, str], NameWithoutRule] = {}
    for unruled, times, at in seen:
        if _is_read(rules, unruled):
            continue
        role: Role | None = unruled.role or None
        tables = {"human": rules.settings.criteria, "judge": rules.settings.metrics}
        has_rule = role is not None and unruled.name in tables[role]
        name = found.setdefault((unruled.role, unruled.name), NameWithoutRule(unruled.name, role, has_rule))
        name.times += times
        name.seen = max(name.seen, at)
        if unruled.value:
            name.values.append(unruled.value)
    return sorted(found.values(), key=lambda name: (-name.times, name.name))


def _is_read(rules: Rules, unruled: UnruledName) -> bool:
    """Whether the rules read this value now."""
    if not unruled.role:
        return (unruled.name in rules.settings.criteria) != (unruled.name in rules.settings.metrics)
    known = Rules(rules.settings.model_copy(update={"queue": "any"}), rules.defaults)
    # The text does not show whether it was a number or a label.
    for value in (unruled.value or None, finite(unruled.value)):
        said = Judgement(name=unruled.name, item="any", value=value)
        result = known.annotation(said) if unruled.role == "human" else known.evaluation(said)
        if not isinstance(result, Skip):
            return True
    return False


def toml(source: str, names: Sequence[NameWithoutRule]) -> Iterator[str]:
    """Lines to paste into the settings. Each table has the choices as comments: uncomment and correct one.

    >>> for line in toml("tool", [NameWithoutRule("helpful", "human", values=["4", "5"])]):
    ...     print(line)
    [sources.tool.criteria.helpful]
    # values seen: "4", "5"
    # rating = "stars"
    # rating = { pass_at = 4 }
    """
    for name in names:
        values = f"values seen: {', '.join(map(_text, name.values[:_SHOWN]))}" if name.values else "no value was seen"
        more = ", ..." if name.values[_SHOWN:] else ""
        if name.role is None:
            yield f"# Do people rate {_text(name.name)} (criteria), or a judge (metrics)? Keep one of the two."
        for role in ("human", "judge") if name.role is None else (name.role,):
            table = "criteria" if role == "human" else "metrics"
            header = f"[sources.{_key(source)}.{table}.{_key(name.name)}]"
            # A table may be in the file once.
            yield f"# In the table {header}, which does not read all values:" if name.has_rule else header
            yield f"# {values}{more}"
            yield from (f"# {choice}" for choice in (_ratings(name) if role == "human" else _verdicts(name)))


def _ratings(name: NameWithoutRule) -> Iterator[str]:
    """What the rating of a criterion may be."""
    numbers = name.numbers
    if numbers is None:
        yield f"rating = {{ up = [{', '.join(map(_text, name.values))}], down = [] }}"
        return
    if set(numbers) <= {0, 1}:
        yield 'rating = "thumbs"'
    elif set(numbers) <= {1, 2, 3, 4, 5}:
        yield 'rating = "stars"'
    yield f"rating = {{ pass_at = {min(numbers):g} }}"


def _verdicts(name: NameWithoutRule) -> Iterator[str]:
    """How a metric may decide its verdict."""
    if name.numbers is None:
        yield f"pass = [{', '.join(map(_text, name.values))}]"
        yield "fail = []"
    else:
        yield f"threshold = {min(name.numbers):g}"
        yield 'direction = "higher"'


def _text(value: str) -> str:
    """A basic string of TOML, which may have the escapes of JSON."""
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    """A key of TOML: bare where it may be."""
    return name if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name) else _text(name)
