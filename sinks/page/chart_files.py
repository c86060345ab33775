"""Charts of a queue's page as SVG files that stand alone, and its tables as CSV.

A chart is drawn by the template of the page. Its style is made from the style sheet of the page: the rules between two
marks, in light colours and without variables, which programs other than browsers do not know.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from sinks.page.csv_cells import guarded
from sinks.page.queue_page import QueuePage
from sinks.queries.results import Agreed

_TONE: Final = "var(--tone, var(--aligned))"
_TONES: Final = {"trusted": "aligned", "probation": "caution", "untrusted": "misaligned", "undecided": "ink-2"}
_OWN_RULES: Final = "svg { overflow: visible; } svg text { font-size: 12px; }"
_CONTROLS: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _drawn(page: QueuePage) -> bool:
    return bool(page.figures)


def _has_trend(page: QueuePage) -> bool:
    return page.deep_dive is not None and page.deep_dive.history is not None


def _has_scores(page: QueuePage) -> bool:
    return page.deep_dive is not None and page.deep_dive.lab is not None


def _has_roc(page: QueuePage) -> bool:
    return page.deep_dive is not None and page.deep_dive.lab is not None and page.deep_dive.lab.roc is not None


CHARTS: Final[Mapping[str, Callable[[QueuePage], bool]]] = {
    "outcomes": _drawn,
    "metrics": _drawn,
    "trend": _has_trend,
    "thresholds": _has_scores,
    "roc": _has_roc,
}
"""Each chart, and whether a page has it."""


@cache
def chart_style() -> str:
    """The rules of the charts. Every value is a colour, a number or a word that every program knows."""
    sheet = files(__package__).joinpath("static", "page.css").read_text()
    values = dict(re.findall(r"--([\w-]+): light-dark\(([^,]+?), ", sheet))
    values |= dict(re.findall(r"--([\w-]+): (?!light-dark)([^;]+);", sheet.partition("@layer base {")[0]))
    rules = sheet.partition("/* Charts: begin */")[2].partition("/* Charts: end */")[0]
    toned = [
        f".{tone} {rule}".replace(_TONE, values[colour])
        for tone, colour in _TONES.items()
        for rule in re.findall(r"\.[\w-]+ \{[^}]*\}", rules)
        if _TONE in rule
    ]
    style = "\n".join(
        [
            rules.replace(_TONE, values["aligned"]).strip(),
            *toned,
            "svg { overflow: visible; } svg text { font-size: 12px; }",
        ]
    )
    return re.sub(r"var\(--([\w-]+)\)", lambda found: values[found[1]], style)


def valid_xml(text: str) -> str:
    """A text whose control characters, which XML does not have, are U+FFFD: names of events may have them."""
    return _CONTROLS.sub("\ufffd", text)


# ---- tables


def _metrics(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    listed = page.listed
    return [] if listed is None else [{"criterion": listed["criterion"], **metric} for metric in listed["metrics"]]


def _trend(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    chart = page.deep_dive.history if page.deep_dive else None
    return [
        {
            **point.day,
            "week": {},
            **_week(point.day["week"]),
            "new_versions": "; ".join(mark.text_on(point.day["day"]) for mark in point.marks),
        }
        for point in (chart.points if chart else [])
    ]


def _week(agreed: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {f"week_{name}": None if agreed is None else agreed[name] for name in Agreed.__annotations__}


def _thresholds(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    what_if = page.deep_dive.what_if if page.deep_dive else None
    return [] if what_if is None else [{"metric": what_if["metric"], **cut} for cut in what_if["grid"]]


def _versions(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    versions = page.deep_dive.versions if page.deep_dive else None
    return [] if versions is None else [{"metric": versions["metric"], **each} for each in versions["versions"]]


def _segments(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    segments = page.deep_dive.segments if page.deep_dive else None
    return (
        []
        if segments is None
        else [{"metric": segments["metric"], "by": segments["by"], **each} for each in segments["segments"]]
    )


def _ceiling(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    ceiling = page.ceiling
    return [] if ceiling is None else [{"agreement": ceiling["agreement"], **each} for each in ceiling["metrics"]]


def _side_by_side(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    answer = page.side_by_side.answer if page.side_by_side else None
    if answer is None or not answer["items"]:
        return []
    shared = {name: answer[name] for name in ("items", "both", "neither", "tied", "p_value")}
    sides = ((answer["first"], answer["first_only"]), (answer["second"], answer["second_only"]))
    return [{**side, "only_this": only, **shared} for side, only in sides]


def _corrected(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    corrected = page.deep_dive.corrected if page.deep_dive else None
    return [] if corrected is None else [{"metric": corrected["metric"], **each} for each in corrected["judges"]]


def _calibration(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    scores = page.deep_dive.calibration if page.deep_dive else None
    return [] if scores is None else [{"metric": scores["metric"], **each} for each in scores["bins"]]


def _annotators(page: QueuePage) -> Sequence[Mapping[str, Any]]:
    people = page.deep_dive.annotators if page.deep_dive else None
    return [] if people is None else people["annotators"]


TABLES: Final[Mapping[str, Callable[[QueuePage], Sequence[Mapping[str, Any]]]]] = {
    "metrics": _metrics,
    "trend": _trend,
    "thresholds": _thresholds,
    "versions": _versions,
    "segments": _segments,
    "ceiling": _ceiling,
    "side-by-side": _side_by_side,
    "corrected": _corrected,
    "calibration": _calibration,
    "annotators": _annotators,
}
"""The rows of each table of a page, with the names of the HTTP API."""


def table_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV; fields that are not one value are left out, and what is undefined is empty."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    names: list[str] = []
    for row in rows:
        if not names:
            names = [name for name, value in row.items() if not isinstance(value, dict | list)]
            writer.writerow(names)
        writer.writerow([guarded(row[name]) for name in names])
    return text.getvalue()
