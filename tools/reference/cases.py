"""The cases of tests/laws as Markdown."""

from collections.abc import Iterator, Mapping

from tests.laws.case import CRITERION, DAY, JUDGE, METRIC, QUEUE, Annotations, Case, Cell, Event
from tests.laws.cases import CASES
from tools.reference.markdown import section, table

_USUAL = {"queue": QUEUE, "item": "t1", "criterion": CRITERION, "metric": METRIC, "judge": JUDGE}
_KINDS = {"annotation": "annotation", "evaluation": "evaluation", "queue_item": "queue item"}


def cases() -> list[str]:
    """A heading and a table for each subject."""
    return [
        section(subject, table(("rule", "events", "counts"), map(_row, of_subject)), level=3)
        for subject, of_subject in CASES.items()
    ]


def _row(case: Case) -> tuple[str, str, str]:
    # A usual name is left out where all events of the case have it.
    usual = {
        name: value for name, value in _USUAL.items() if all(event.get(name, value) == value for event in case.events)
    }
    events = [_event(event, usual) for event in case.events]
    return case.title, "<br>".join(events), "<br>".join(_counts(case, usual))


def _event(event: Event, usual: Mapping[str, str]) -> str:
    at = str(event["at"])
    time = at[11:16] if at.startswith(DAY) and at.endswith(":00Z") else at
    shown = [
        f"{name} {_text(value)}"
        for name, value in event.items()
        if name not in ("kind", "at", "id") and value != usual.get(name)
    ]
    if len(str(event["id"])) <= 2:
        shown.insert(0, f"id {event['id']}")
    return f"{time} {_KINDS[event['kind']]}{': ' if shown else ''}{', '.join(shown)}"


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _counts(case: Case, usual: Mapping[str, str]) -> Iterator[str]:
    for count in case.counts:
        others = [
            f"{name} {value}"
            for name in ("queue", "criterion", "metric", "judge")
            if (value := getattr(count, name, None)) is not None and value != usual.get(name)
        ]
        if count.day != DAY:
            others.append(f"day {count.day}")
        if isinstance(count, Cell):
            others += ["superseded"] if count.superseded else []
            text = f"`{count.rating}` x {count.verdict}: {count.comparisons}"
        elif isinstance(count, Annotations):
            text = f"annotations: {count.standing}, compared: {count.contributing}"
        else:
            named = zip(("pass", "fail", "error", "skipped"), count[:4], strict=True)
            text = "coverage: " + ", ".join(f"{name} {number}" for name, number in named if number)
        yield text + (f" ({', '.join(others)})" if others else "")
    if not case.counts:
        yield "nothing"
    if found := {name: number for name in ("tp", "fn", "tn", "fp") if (number := getattr(case, name))}:
        outcomes = ", ".join(f"{name} {number}" for name, number in found.items())
        yield f"**{outcomes}** on {case.items} item{'s' if case.items > 1 else ''}"
    if case.funnel is not None:
        waiting = case.funnel._asdict()
        yield ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in waiting.items() if number)
