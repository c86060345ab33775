"""Which record an event is of, by the name in its id: the tool's id of the record, and after a slash the part.

Ids of records and parts may have slashes too. Each tool has the function that is right for its ids.
"""

from collections.abc import Iterator

from aggregator.facts import Annotation, Evaluation, Fact
from sources.rules import SourceSettings


def whole(name: str, _fact: Fact, _settings: SourceSettings) -> str:
    """The record of a tool whose records have no parts."""
    return name


def before_slash(name: str, _fact: Fact, _settings: SourceSettings) -> str:
    """The record of a tool whose ids have no slash.

    >>> before_slash("101/clear/brief", None, None)  # type: ignore[arg-type]
    '101'
    """
    return name.partition("/")[0]


def before_correction(name: str, _fact: Fact, _settings: SourceSettings) -> str:
    """The record of a tool whose only part is the correction of a judge."""
    return name.removesuffix("/correction")


def before_own_name(name: str, fact: Fact, settings: SourceSettings) -> str:
    """The record of a tool whose parts are the tool's names of criteria and metrics, and whose ids may be anything."""
    suffixes = [f"/{own}" for own in own_names(fact, settings)]
    return name.removesuffix(max((suffix for suffix in suffixes if name.endswith(suffix)), key=len, default=""))


def of_datadog(name: str, fact: Fact, settings: SourceSettings) -> str:
    """Annotations have an id without slash and their labels as parts; metrics have a natural key and no part."""
    record = before_own_name(name, fact, settings) if isinstance(fact, Annotation) else name
    return name if "/" in record else record


def of_braintrust(name: str, fact: Fact, settings: SourceSettings) -> str:
    """Every event has a part. Names that no rule has any more end at the first slash."""
    record = before_own_name(name, fact, settings)
    return before_slash(name, fact, settings) if record == name else record


def of_table(name: str, fact: Fact, settings: SourceSettings) -> str:
    """The metric is the part of a row that has a rating as well."""
    both = {"rating", "metric"} <= settings.columns.keys() and isinstance(fact, Evaluation)
    return before_own_name(name, fact, settings) if both else name


def own_names(fact: Fact, settings: SourceSettings) -> Iterator[str]:
    """The names that the criterion or metric of an event may have in the tool."""
    if isinstance(fact, Annotation):
        yield fact.criterion
        yield from (own for own, rule in settings.criteria.items() if rule.criterion == fact.criterion)
    elif isinstance(fact, Evaluation):
        yield fact.metric
        yield from (own for own, judge in settings.metrics.items() if judge.metric == fact.metric)
