"""What records say about their items: input, output, address and tags, by paths or columns of the settings."""

import json
from typing import Any

import pytest

from aggregator.facts import Annotation, Fact
from sources.item_paths import ItemPaths
from sources.records import Skip, SkipReason
from sources.registry import TOOLS, source_problems
from sources.rules import SourceSettings
from streams.events.values import CUT_MARK
from tests.support.item_records import RECORDS, SETTINGS, TABLE
from tests.support.sources import facts_of, outcomes, skips_of, tool_source


def about(fact: Fact) -> dict[str, Any]:
    return {"input": fact.input, "output": fact.output, "url": fact.url, "tags": fact.tags}


@pytest.mark.parametrize(
    ("tool", "config", "document"),
    [pytest.param(tool, config, document, id=f"{tool}: {what}") for tool, what, config, document in RECORDS],
)
def test_a_record_tells_about_its_item(tool: str, config: dict[str, Any], document: Any) -> None:
    (fact,) = facts_of(tool_source(tool, **config), document)
    assert about(fact) == {
        "input": "Where is it?",
        "output": "On its way.",
        "url": "https://x.test/1",
        "tags": {"plan": "free", "turns": "2"},
    }
    without = {name: value for name, value in config.items() if name not in SETTINGS}
    (plain,) = facts_of(tool_source(tool, **without), document)
    assert about(plain) == dict.fromkeys(("input", "output", "url", "tags"))


def test_every_tool_has_a_record() -> None:
    assert {tool for tool, *_ in RECORDS} == TOOLS.keys() - {"events"}


def json_source(**config: Any) -> Any:
    return tool_source("json", **TABLE, **config)


def record(**fields: Any) -> dict[str, Any]:
    return {"id": "t", "stars": 4, **fields}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        (0, "0"),
        (4.0, "4"),
        (0.5, "0.5"),
        (True, "true"),
        (["a", {"b": None}], '["a",{"b":null}]'),
        ({}, "{}"),
        ("é", "é"),
    ],
)
def test_what_is_no_text_is_written_as_json(value: Any, text: str | None) -> None:
    (fact,) = facts_of(json_source(input="x", tags={"x": "x"}), [record(x=value)])
    assert (fact.input, fact.tags) == (text, None if text is None else {"x": text})


def test_a_path_chooses_and_joins() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    source = json_source(input="messages[?role=='user'].content | [0]", output="join(' ', messages[].content)")
    (fact,) = facts_of(source, [record(messages=messages)])
    assert (fact.input, fact.output) == ("a", "a b")


def test_a_cell_with_an_object_is_written_as_json() -> None:
    source = tool_source("csv", **TABLE, input="x", tags={"x": "y"})
    (fact,) = facts_of(source, b'{"id": "t", "stars": 4, "x": {"a": [1.0, "\\"", true, null]}, "y": 1.50}\n')
    assert (fact.input, fact.tags) == ('{"a":[1.0,"\\"",true,null]}', {"x": "1.50"})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * 129, "`tags.plan`: tags.plan has 129 characters, expected 1 to 128 - at `$.tags.plan`"),
        ("a\nb", "`tags.plan`: tags.plan has control characters"),
        (list(range(100)), "`tags.plan`: tags.plan has 291 characters"),
    ],
)
def test_a_tag_that_events_may_not_have_is_left_out_and_counted(value: Any, why: str) -> None:
    source = json_source(input="x", tags={"plan": "plan", "other": "x"})
    fact, skip = (outcome.result for outcome in outcomes(source, [record(plan=value, x="kept")]))
    assert isinstance(fact, Annotation) and (fact.input, fact.tags) == ("kept", {"other": "kept"})
    assert isinstance(skip, Skip) and skip.reason is SkipReason.FIELD_REFUSED
    assert skip.why.startswith(why)


@pytest.mark.parametrize("value", ["ftp://x", "/traces/1", "https://x/" + "y" * 2048, 7])
def test_an_address_that_events_may_not_have_is_left_out_and_counted(value: Any) -> None:
    source = json_source(url_path="page")
    assert skips_of(source, [record(page=value)]) == {"field_refused": 1}
    assert [fact.url for fact in facts_of(source, [record(page=value)])] == [None]


def test_a_path_that_does_not_fit_a_record_is_counted() -> None:
    source = json_source(input="length(x)", output="x")
    fact, skip = (outcome.result for outcome in outcomes(source, [record(x=5)]))
    assert isinstance(fact, Annotation) and (fact.input, fact.output) == (None, "5")
    assert skip == Skip(SkipReason.FIELD_REFUSED, "`input`: the path does not fit the record")


def test_a_record_that_becomes_no_event_counts_no_field() -> None:
    assert skips_of(json_source(url_path="page"), [{**record(page="x"), "stars": 9}]) == {"off_scale": 1}


def test_long_texts_are_cut_like_those_of_events() -> None:
    (fact,) = facts_of(json_source(input="x", output="x"), [record(x="é" * 300_000)])
    assert fact.input == fact.output and fact.input is not None
    assert len(fact.input.encode()) <= 8192 and fact.input.endswith(CUT_MARK)


@pytest.mark.parametrize("tool", ["json", "csv"])
def test_half_of_a_surrogate_pair_costs_no_event(tool: str) -> None:
    source = tool_source(tool, **{**TABLE, "columns": {**TABLE["columns"], "explanation": "x"}}, input="x")
    (fact,) = facts_of(source, json.dumps(record(x="a\ud83d")).encode())
    assert isinstance(fact, Annotation) and (fact.input, fact.explanation) == ("a\ufffd", "a\ufffd")


def test_other_tags_of_a_record_are_another_version_of_it() -> None:
    source = tool_source("json", **{**TABLE, "columns": {"id": "n", **TABLE["columns"]}}, tags={"plan": "plan"})
    (first,) = facts_of(source, [record(n="1", plan="free")])
    assert facts_of(source, [record(n="1", plan="free")]) == []
    (second,) = facts_of(source, [record(n="1", plan="paid")])
    assert (first.tags, second.tags) == ({"plan": "free"}, {"plan": "paid"})
    assert second.at > first.at


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"input": "a["}, "sources.x.input: 'a[' is not JMESPath: "),
        ({"output": "foo(a)"}, "sources.x.output: 'foo(a)' is not JMESPath: Unknown function: foo()"),
        ({"url_path": "length(a, b)"}, "sources.x.url_path: 'length(a, b)' is not JMESPath: "),
        ({"tags": {"plan": "a b"}}, "sources.x.tags.plan: 'a b' is not JMESPath: "),
    ],
)
@pytest.mark.parametrize("tool", sorted(name for name, tool in TOOLS.items() if tool.record and not tool.columns))
def test_a_broken_path_is_a_problem_of_the_settings(tool: str, config: dict[str, Any], problem: str) -> None:
    columns = {"columns": TABLE["columns"]} if tool == "json" else {}
    settings = SourceSettings.model_validate({"tool": tool, **columns, **config})
    (found,) = source_problems({"x": settings})
    assert found.startswith(problem) and "\n" not in found


def test_events_have_these_fields_themselves() -> None:
    settings = SourceSettings.model_validate({"tool": "events", "tags": {"plan": "plan"}})
    assert list(source_problems({"x": settings})) == ["sources.x.tags.plan has no effect: its events have the field"]


@pytest.mark.parametrize(
    "tags", [{"Plan": "x"}, {"": "x"}, {"a\n": "x"}, {"plan": ""}, {f"t{n}": "x" for n in range(17)}]
)
def test_names_of_tags_are_those_of_events(tags: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tags"):
        SourceSettings.model_validate({"tool": "json", "tags": tags})


@pytest.mark.parametrize(("tool", "config"), [("csv", TABLE), ("ragas", {"metrics": {"tone": {"threshold": 0.5}}})])
def test_a_missing_column_is_named(tool: str, config: dict[str, Any]) -> None:
    source = tool_source(tool, **config, tags={"plan": "tariff"})
    with pytest.raises(Exception, match="column 'tariff' is not found"):
        source.read(b"id,stars,user_input,tone\nt,4,x,0.9\n")


def test_nothing_is_decoded_without_paths() -> None:
    paths = ItemPaths.of(SourceSettings.model_validate({"tool": "json"}), columns=False)
    assert paths.find(b"not JSON") == ({}, [])


def test_a_task_of_many_annotations_is_read_once_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it for each takes the square of their number: hours, for a body of the largest size."""
    found: list[Any] = []
    find = ItemPaths.find

    def counted(self: ItemPaths, original: Any) -> Any:
        found.append(original)
        return find(self, original)

    monkeypatch.setattr(ItemPaths, "find", counted)
    answer = {"type": "choices", "from_name": "resolved", "value": {"choices": ["yes"]}}
    tasks = [
        {
            "id": task,
            "data": {"trace_id": f"t{task}", "question": f"q{task}"},
            "annotations": [
                {"id": 100 * task + number, "updated_at": "2026-11-23T10:00:00Z", "completed_by": number}
                | {"result": [answer]}
                for number in range(20)
            ],
        }
        for task in range(2)
    ]
    rated: dict[str, Any] = {
        "criteria": {"resolved": {"rating": {"up": ["yes"], "down": ["no"]}}},
        "queue": "q",
        "item": "trace_id",
    }
    facts = facts_of(tool_source("labelstudio", input="data.question", **rated), tasks)
    assert [(fact.item, fact.input) for fact in facts] == [
        (f"t{task}", f"q{task}") for task in (0, 1) for _ in range(20)
    ]
    assert len(found) == 2
