"""Rules to paste are TOML that the settings take, and leave what they do not read."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sources.meaning import Rules
from sources.records import UnruledName
from sources.rules import SourceSettings
from sources.suggestions import NameWithoutRule, names_without_rule, toml

NAMES = st.text(min_size=1, max_size=12) | st.sampled_from(['a"b', "a.b", "é", "\\", "\x7f", "]"])
VALUES = st.lists(NAMES | st.sampled_from(["0", "1", "5", "0.25", "true"]), max_size=4, unique=True)


def rules(**config: Any) -> Rules:
    return Rules(SourceSettings.model_validate({"tool": "langfuse", **config}))


def pasted(names: list[NameWithoutRule], choose: int | None = None) -> dict[str, Any]:
    """The settings with these lines, and with one choice of each table uncommented."""
    lines: list[str] = []
    choice = 0
    for line in toml("tool", names):
        if line.startswith("["):
            choice = 0
        elif line.startswith("# ") and " = " in line and "values seen" not in line:
            choice += 1
            if choice - 1 == choose:
                lines.append(line.removeprefix("# "))
                continue
        lines.append(line)
    settings: dict[str, Any] = tomllib.loads("\n".join(lines)).get("sources", {}).get("tool", {})
    return settings


@given(st.lists(st.builds(NameWithoutRule, NAMES, st.sampled_from(["human", "judge"]), values=VALUES), max_size=1))
def test_pasted_lines_are_settings_of_the_name(names: list[NameWithoutRule]) -> None:
    for choose in (None, 0):
        settings = SourceSettings.model_validate({"tool": "langfuse", **pasted(names, choose)})
        for name in names:
            assert name.name in (settings.criteria if name.role == "human" else settings.metrics)


@given(NAMES, VALUES.filter(bool))
def test_the_first_choice_reads_every_value_that_was_seen(name: str, values: list[str]) -> None:
    seen = [(UnruledName("human", name, value), 1, 1) for value in values]
    found = names_without_rule(rules(), seen)
    assert [one.name for one in found] == [name]
    assert names_without_rule(rules(**pasted(found, 0)), seen) == []


def test_names_that_a_rule_reads_now_are_left_out() -> None:
    seen = [
        (UnruledName("human", "helpful", "4"), 2, 10),
        (UnruledName("human", "helpful", "good"), 3, 20),
        (UnruledName("judge", "toxicity", "0.2"), 9, 5),
        (UnruledName("", "quality", "1"), 1, 1),
    ]
    chosen = rules(
        criteria={"helpful": {"rating": "stars"}, "quality": {"rating": "thumbs"}},
        metrics={"toxicity": {"threshold": 0.5}},
    )
    [left] = names_without_rule(chosen, seen)
    assert (left.name, left.values, left.times, left.seen, left.has_rule) == ("helpful", ["good"], 3, 20, True)
    assert tomllib.loads("\n".join(toml("tool", [left]))) == {}


def test_what_an_unknown_name_is_remains_open() -> None:
    [name] = names_without_rule(rules(), [(UnruledName("", "quality", "0.5"), 1, 1)])
    assert pasted([name]) == {"criteria": {"quality": {}}, "metrics": {"quality": {}}}
