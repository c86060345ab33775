"""The badge of a queue for a README: an SVG image with the alignment of a metric, or of the whole queue.

A badge is shown where no style sheet of the page is, so it has its colours in attributes, and nothing else in it.
"""

import re
from dataclasses import dataclass
from typing import Final

from markupsafe import escape
from starlette.types import Scope

from aggregator.days import Window
from aggregator.snapshot.schema import MetricDocument, SnapshotDocument
from aggregator.statistics.gate import Gate, GateLimits
from sinks.page.chart_files import valid_xml
from sinks.page.figures import pooled, queue_tone
from sinks.page.formats import percent
from streams.runtime.errors import EvalAlignmentError

MOST_LABEL: Final = 60
"""Most characters of a label."""
_PATH: Final = re.compile(rb"/queues/[^/]+/badge\.svg")
_COLOURS: Final = {"trusted": "#0a6f5e", "probation": "#765100", "untrusted": "#a8370f", "undecided": "#5a6069"}
_TONES: Final = {Gate.TRUSTED: "trusted", Gate.PROBATION: "probation", Gate.NOT_TRUSTED: "untrusted"}
_NARROW: Final = frozenset("iljtfr.,:;!|'()[] 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadgeRequest:
    """What a badge shows. Without a metric, the alignment of the whole queue."""

    queue: str
    window: Window = Window.ALL
    criterion: str | None = None
    metric: str | None = None
    label: str | None = None
    """Words on the left; None for the name of the metric, or `alignment`."""


class BadgeError(EvalAlignmentError):
    """The badge cannot be drawn as asked; the message has the reason."""


def is_badge(scope: Scope) -> bool:
    """Whether a request is for a badge, by its path as the client sent it: a queue's name may contain `/badge.svg`."""
    raw_path: bytes = scope.get("raw_path") or b""
    return _PATH.fullmatch(raw_path.partition(b"?")[0]) is not None


def badge(document: SnapshotDocument, request: BadgeRequest, limits: GateLimits) -> str:
    """The badge as SVG.

    A metric is shown by its newest judge version, which the gate decides on, in the colour of the gate's state. Raises
    BadgeError for a criterion or metric that the document does not have, and for a metric of several criteria.
    """
    if request.metric is None:
        if request.criterion is not None:
            raise BadgeError("metric: required with criterion")
        alignment, tone = document["cards"]["alignment"], queue_tone(pooled(document), limits)
    else:
        metric = _metric(document, request.criterion, request.metric)
        newest = metric["newest_judge"]
        alignment = metric["alignment"] if newest is None else newest["alignment"]
        tone = "undecided" if metric["gate_state"] is None else _TONES.get(Gate(metric["gate_state"]), "undecided")
    label = request.label or request.metric or "alignment"
    return _svg(label, "no data" if alignment is None else percent(alignment), _COLOURS[tone])


def _metric(document: SnapshotDocument, criterion: str | None, name: str) -> MetricDocument:
    found = [
        (each["criterion"], metric)
        for each in document["criteria"]
        for metric in each["metrics"]
        if metric["metric"] == name and criterion in (None, each["criterion"]) and not metric["off_topic"]
    ]
    if len(found) > 1:
        raise BadgeError(f"criterion: required, because the metric {name!r} has several")
    if not found:
        raise BadgeError(f"metric {name!r} not found" + (f" in criterion {criterion!r}" if criterion else ""))
    return found[0][1]


def _svg(label: str, value: str, colour: str) -> str:
    left, right = _width(label), _width(value)
    total, words = left + right, escape(f"{label}: {value}")
    drawn = f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" viewBox="0 0 {total} 20" role="img" \
aria-label="{words}"><title>{words}</title>
<rect width="{total}" height="20" rx="3" fill="#3a414f"/>
<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2:g}" y="14" textLength="{left - 12}">{escape(label)}</text>
<text x="{left + right / 2:g}" y="14" textLength="{right - 12}">{escape(value)}</text>
</g>
</svg>
"""
    return valid_xml(drawn)


def _width(text: str) -> int:
    """Pixels for a text with its margins; the text is fitted to them."""
    return 12 + round(sum(4.4 if each in _NARROW else 7 for each in text))
