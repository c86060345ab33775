"""The environment of the templates. Loads no server, so a command renders the same parts as the page."""

from collections.abc import Sequence
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sinks import budgets
from sinks.page import formats, wording
from sinks.page.figures import Figure
from sinks.page.help import HELP

_FORMATS: Final = ("percent", "interval", "points", "decimal", "p_value", "score", "threshold", "count", "when", "age")


def page_environment() -> Environment:
    """An environment in which the templates find their formats and words."""
    environment = Environment(
        loader=PackageLoader("sinks.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update({name: getattr(formats, name) for name in _FORMATS})
    environment.globals.update(
        HELP=HELP,
        budgets=budgets,
        dash=formats.DASH,
        best_threshold=wording.best_threshold,
        cell_words=wording.cell_words,
        headroom=wording.headroom,
        human_ceiling=wording.human_ceiling,
        judge_failures=wording.judge_failures,
        kappa_word=wording.kappa_word,
        what_if_warning=wording.what_if_warning,
        # What follows the ids of a part that a page has several times.
        nth="",
        plural=formats.plural,
        policy_words=wording.policy_words,
        folded=folded,
        unfolded=unfolded,
        rebuilding_words=wording.rebuilding_words,
        superseded_words=wording.superseded_words,
        replaces_people=wording.replaces_people,
        why=wording.why,
    )
    return environment


def unfolded(figures: Sequence[Figure], request: object, most: int = budgets.METRICS_UNFOLDED) -> Sequence[Figure]:
    """The figures that are shown at first; all when they are few, and without a request: a file has all of them."""
    return figures if request is None or len(figures) <= budgets.METRICS_UNFOLDED else figures[:most]


def folded(figures: Sequence[Figure], request: object, most: int = budgets.METRICS_UNFOLDED) -> Sequence[Figure]:
    """The others."""
    return figures[len(unfolded(figures, request, most)) :]
