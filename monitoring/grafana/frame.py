"""The parts that all dashboards share: variables, links to each other and to the page, alerts as annotations."""

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models import dashboard as models

from monitoring.grafana import promql
from monitoring.grafana.panels import AMBER, DATASOURCE

DATASOURCE_UID: Final = "eval-alignment-prometheus"
TAG: Final = "eval-alignment"
QUEUES_UID: Final = "eval-alignment-queues"
QUEUE_UID: Final = "eval-alignment-queue"
SERVICE_UID: Final = "eval-alignment-service"
PAGE: Final = "http://127.0.0.1:8390"
"""The default address of the page that the view serves."""

Section = tuple[str, Sequence[Any]]
"""A row's title and its panels."""


def page_url(queue: str, rest: str = "", **parameters: str) -> str:
    """The address of a queue on the page.

    `queue` and the parameters are Grafana's names of values, such as `queue` for a variable or `__data.fields.queue`
    for a table's row. The values are percent-encoded, because a name may contain any character.
    """
    query = "&".join(f"{name}={_encoded(value)}" for name, value in parameters.items())
    return f"${{page:raw}}/queues/{_encoded(queue)}{rest}{'?' if query else ''}{query}"


def queue_url(queue: str, criterion: str, metric: str) -> str:
    """The address of the dashboard *One queue*, with the time range and the page of the current dashboard."""
    return (
        f"/d/{QUEUE_UID}?${{__url_time_range}}&var-page=${{page:percentencode}}&var-queue={_encoded(queue)}"
        f"&var-criterion={_encoded(criterion)}&var-metric={_encoded(metric)}"
    )


def _encoded(name: str) -> str:
    return f"${{{name}:percentencode}}"


def names_of(label: str, selector: str, title: str) -> dashboard.QueryVariable:
    """A variable with the sorted values of a label."""
    query = f"label_values({selector}, {label})"
    return (
        dashboard.QueryVariable(label)
        .label(title)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": label, "qryType": 1})
        .definition(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
        .multi(False)
        .include_all(False)
    )


def frame(
    uid: str,
    title: str,
    description: str,
    sections: Sequence[Section],
    *,
    variables: Sequence[Any] = (),
    since: str = "now-7d",
    alerting: Sequence[str] = (),
    page: str = PAGE,
) -> models.Dashboard:
    """A complete dashboard: rows of panels, numbered in reading order.

    `alerting` selects the alerts that are drawn on the time axis. `page` is the address of the page.
    """
    firing = promql.alerting(*alerting, 'alertstate="firing"')
    chosen = models.VariableOption(text="Eval Alignment", value=DATASOURCE_UID)
    address = models.VariableOption(text=page, value=page)
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)
        )
        .with_variable(
            dashboard.TextBoxVariable("page")
            .label("Page")
            .description("The address of the page that the view serves; links open it.")
            .default_value(page)
            .current(address)
            .options([address])
        )
        .link(
            dashboard.DashboardLink("Eval Alignment")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .link(dashboard.DashboardLink("Page").type(models.DashboardLinkType.LINK).url("${page:raw}").target_blank(True))
        .annotation(
            dashboard.AnnotationQuery()
            .name("Alerts")
            .datasource(DATASOURCE)
            .icon_color(AMBER)
            .enable(True)
            .expr(firing)
            .target(prometheus.Dataquery().expr(firing).ref_id("Alerts"))
            .title_format("{{alertname}}")
            .text_format("{{queue}} {{criterion}} {{metric}}")
            .step("60s")
        )
    )  # fmt: skip
    for variable in variables:
        made.with_variable(variable)
    for heading, panels in sections:
        made.with_row(dashboard.Row(heading).id(0))
        for panel in panels:
            made.with_panel(panel)
    built = made.build()
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built
