"""The style of the dashboards: one function for each kind of panel, few colours, the limits of the gate."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from aggregator.statistics.gate import GateLimits

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The Prometheus that the variable selects; the provisioned one by default."""
LIMITS: Final = GateLimits()
"""The default limits of the gate."""

TEAL: Final = "#2fa78e"
EMBER: Final = "#e56f3f"
AMBER: Final = "#c9951f"
GREY: Final = "#8b919d"
BLUE: Final = "#6c7ee1"
"""The colours of the page. Teal: agreement, healthy. Ember: disagreement, failure. Amber: attention. Grey: context.
Blue: neutral."""

DASH: Final = "\u2013"
"""Shown for an undefined value, which is absent from Prometheus and never zero."""

Steps = Sequence[tuple[float | None, str]]
NEUTRAL: Final[Steps] = ((None, BLUE),)
LOW_BOUND: Final[Steps] = ((None, EMBER), (LIMITS.probation_low, AMBER), (LIMITS.trusted_low, TEAL))
RATE_OF_FAILS: Final[Steps] = ((None, AMBER), (LIMITS.trusted_tnr, TEAL))
NONE_IS_GOOD: Final[Steps] = ((None, TEAL), (1, EMBER))
ALL_IS_GOOD: Final[Steps] = ((None, EMBER), (1, TEAL))
STALE_AFTER: Final[Steps] = ((None, TEAL), (15, AMBER), (60, EMBER))
"""The page marks its state as stale after 15 s."""

GATE_STATES: Final = {
    "trusted": ("Trusted", TEAL),
    "probation": ("Probation", AMBER),
    "not_trusted": ("Not trusted", EMBER),
    "undecided": ("Undecided", GREY),
}

SEVERITIES: Final = {"critical": ("critical", EMBER), "warning": ("warning", AMBER), "info": ("info", GREY)}
ALERT_STATES: Final = {"firing": ("firing", EMBER), "pending": ("pending", AMBER)}
SHADES: Final = {"half within": TEAL, "95 % within": AMBER, "99 % within": EMBER}
"""Colours of percentiles, by legend."""

Query = tuple[str, str]
"""A PromQL expression, and the legend of its series."""


def alerts(*names: str) -> str:
    """The last line of the description of a panel: the alerts on its metric. tests/monitoring reads it."""
    return f"\n\nAlert{'s' if len(names) > 1 else ''}: {', '.join(f'EvalAlignment{name}' for name in names)}."


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Absolute thresholds; the first step has no value."""
    made = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def value_map(named: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    """A mapping of values to texts and colours."""
    results = {
        value: models.ValueMappingResult(text=words, color=colour, index=index)
        for index, (value, (words, colour)) in enumerate(named.items())
    }
    return models.ValueMap(options=results)


def link(title: str, url: str) -> dashboard.DashboardLink:
    """A link from a value or a panel."""
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)


def data_link(title: str, url: str) -> dict[str, object]:
    """A link from the cells of a table's column."""
    return {"title": title, "url": url, "targetBlank": True}


def fixed(colour: str) -> models.DynamicConfigValue:
    """An override: a fixed colour."""
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _range(queries: Sequence[Query]) -> list[Any]:
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).range().ref_id(ref).datasource(DATASOURCE)
        for ref, (expr, legend) in zip(ascii_uppercase, queries, strict=False)
    ]


def _instant(queries: Sequence[Query], format_: prometheus_models.PromQueryFormat) -> list[Any]:
    made = zip(ascii_uppercase, queries, strict=False)
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).instant().format(format_).ref_id(ref)
        .datasource(DATASOURCE)
        for ref, (expr, legend) in made
    ]  # fmt: skip


def series(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    height: int = 8,
    colours: Mapping[str, str] | None = None,
    limit: Steps | None = None,
    stacked: bool = False,
    lowest: float | None = 0,
    highest: float | None = None,
) -> timeseries.Panel:
    """Lines over time, with gaps where values are missing. `colours` is by legend; `limit` draws dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .targets(_range(queries))
        .span(width)
        .height(height)
        .no_value(DASH)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .span_nulls(False)
        .line_width(1 if stacked else 2)
        .fill_opacity(35 if stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
    )  # fmt: skip
    if lowest is not None:
        panel.axis_soft_min(lowest)
    if highest is not None:
        panel.axis_soft_max(highest)
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if limit is not None:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(thresholds(limit)).thresholds_style(style)
    for legend, colour in (colours or {}).items():
        panel.override_by_name(legend, [fixed(colour)])
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 4,
    height: int = 4,
    steps: Steps = NEUTRAL,
    decimals: float | None = None,
    names: bool = False,
    words: Mapping[str, tuple[str, str]] | None = None,
    spark: bool = False,
) -> stat.Panel:
    """The current number, or several with their legends. `names` shows only the legends, `words` replaces values."""
    reduce = common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    shown = common.BigValueTextMode.NAME if names else common.BigValueTextMode.AUTO
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .targets(_range(queries) if spark else _instant(queries, prometheus_models.PromQueryFormat.TIME_SERIES))
        .span(width)
        .height(height)
        .no_value(DASH)
        .thresholds(thresholds(steps))
        .reduce_options(reduce)
        .text_mode(shown)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA if spark else common.BigValueGraphMode.NONE)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if words is not None:
        panel.mappings([value_map(words)])
    return panel


def states(
    title: str,
    description: str,
    *queries: Query,
    words: Mapping[str, tuple[str, str]],
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """States over time, one row for each series."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .unit("none")
        .datasource(DATASOURCE)
        .targets(_range(queries))
        .span(width)
        .height(height)
        .no_value(DASH)
        .mappings([value_map(words)])
        .thresholds(thresholds(((None, GREY),)))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(common.VisibilityMode.NEVER)
        .fill_opacity(80)
        .line_width(0)
        .legend(common_builders.VizLegendOptions().show_legend(False).display_mode(common.LegendDisplayMode.HIDDEN))
    )


def grid(
    title: str,
    description: str,
    unit: str,
    columns: Mapping[str, str],
    *,
    keys: Sequence[str],
    sort: tuple[str, bool],
    properties: Mapping[str, Sequence[tuple[str, object]]],
    width: int = 24,
    height: int = 10,
    hidden: Sequence[str] = (),
) -> table.Panel:
    """A table: one row for each combination of the labels `keys`, one column for each query.

    `sort` is a column and whether it descends. `properties` are overrides by column. `hidden` columns are not shown.
    """
    # Grafana names the values after the queries. The value of a single query has no letter.
    values = (
        [f"Value #{ref}" for ref, _ in zip(ascii_uppercase, columns, strict=False)] if len(columns) > 1 else ["Value"]
    )
    renamed = dict(zip(values, columns, strict=True))
    order = {name: index for index, name in enumerate((*keys, *values))}
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(DATASOURCE)
        .targets(_instant([(expr, "") for expr in columns.values()], prometheus_models.PromQueryFormat.TABLE))
        .with_transformation(models.DataTransformerConfig("merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": dict.fromkeys(("Time", *hidden), True),
                    "indexByName": order,
                    # Labels keep their names, because links refer to them.
                    "renameByName": {name: to for name, to in renamed.items() if name not in hidden},
                },
            )
        )
        .span(width)
        .height(height)
        .no_value(DASH)
        .filterable(True)
        .thresholds(thresholds(NEUTRAL))
        .sort_by([common_builders.TableSortByFieldState().display_name(sort[0]).desc(sort[1])])
    )
    for column, wanted in properties.items():
        panel.override_by_name(column, [models.DynamicConfigValue(name, value) for name, value in wanted])
    return panel


def threshold_property(steps: Steps) -> tuple[str, object]:
    """An override of a table's column: thresholds."""
    made = [{"value": value, "color": colour} for value, colour in steps]
    return "thresholds", {"mode": "absolute", "steps": made}


COLOURED: Final[tuple[str, object]] = ("custom.cellOptions", {"type": "color-text"})
"""An override of a table's column: text in the colour of the threshold or mapping."""
