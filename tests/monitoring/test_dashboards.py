"""The dashboards as data: generated from code, checked, and every query run on a real Prometheus.

Grafana itself does not run. The tests substitute variables as Grafana would.
"""

import json
import re
from collections import Counter
from importlib import import_module
from inspect import signature
from itertools import combinations
from math import isnan
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from ingest import metrics as ingest_metrics
from ingest.metrics import IngestMetrics
from monitoring.grafana import frame, queue, queues, service
from monitoring.grafana.__main__ import text
from sinks.gauges import FAMILIES
from sinks.metrics import ViewMetrics
from streams.runtime.metrics import METRICS, WorkerMetrics
from tests.monitoring.conftest import Watched
from tests.support.dashboards import DIRECTORY, FILES, Panel, dashboard, metrics, panels, resolved, rules
from tests.support.processes import get, wait_until
from tests.support.tree import ROOT

BUILDERS: Final = {"queues.json": queues.build, "queue.json": queue.build, "service.json": service.build}
UIDS: Final = {frame.QUEUES_UID, frame.QUEUE_UID, frame.SERVICE_UID}
ALERTS: Final = re.compile(r"\bEvalAlignment\w+")
RANGES: Final = {"$__rate_interval": "1m", "$__range": "1m"}

EMPTY: Final = {
    ("queues.json: Gate states", 'state="undecided"'): "every pair of the sample has enough labels",
    ("queues.json: Alerts about people and metrics", ""): "nothing is wrong",
    ("queue.json: Drop since last week", ""): "there is no last week",
    ("queue.json: Alignment by segment", ""): "no tag is set",
    ("service.json: Alerts, firing or pending", ""): "nothing is wrong",
    ("service.json: Alerts over time", ""): "nothing is wrong",
    ("service.json: Rejected events, by reason", ""): "the sample has no bad event",
    ("service.json: Superseded, duplicate and misrouted events", "misrouted"): "`load` chooses the right partition",
    ("service.json: Evaluations read again", ""): "no evaluation waits",
    ("service.json: Time to adopt", ""): "no evaluation waits",
    **{
        (f"service.json: {title}", ""): "the sample has no source"
        for title in (
            "Events, by source",
            "Skipped, by source and reason",
            "Rejected, by source",
            "Time since the last pull",
            "Pull failed",
            "Without a rule, by source and name",
        )
    },
    **{(f"{file}: annotation Alerts", ""): "nothing is wrong" for file in FILES},
}
"""Queries, by place and a part, that may return nothing on a healthy installation, and why."""


def expressions() -> list[tuple[str, str]]:
    """Place and PromQL of every panel and annotation."""
    places = [(str(panel), expression) for panel in panels() for expression in panel.expressions]
    for file in FILES:
        annotations = dashboard(file)["annotations"]["list"]
        places += [(f"{file}: annotation {annotation['name']}", annotation["expr"]) for annotation in annotations]
    return places


_PARTS: Final = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}


def known_metrics() -> set[str]:
    """Names of the series that are scraped from the product, and that rules record."""
    processes = CollectorRegistry()
    ProcessCollector(registry=processes)
    registries = (ViewMetrics("0").registry, WorkerMetrics("0", lambda: ()).registry, IngestMetrics("0").registry)
    scraped = (*registries, processes)
    families = [family for registry in scraped for family in registry.collect()]
    names = {f"{family.name}{part}" for family in families for part in _PARTS.get(family.type, ("",))}
    recorded = {rule.name for rule in rules() if not rule.alerts}
    return names | {spec.name for spec in FAMILIES} | {"up", "ALERTS"} | recorded


@pytest.mark.parametrize("file", FILES)
def test_the_committed_json_is_what_the_code_makes(file: str) -> None:
    committed = (DIRECTORY / "dashboards" / file).read_text(encoding="utf-8")
    assert committed == text(BUILDERS[file]()), "run make dashboards"


def test_no_other_dashboard_is_committed() -> None:
    assert sorted(path.name for path in (DIRECTORY / "dashboards").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_dashboard_has_title_tags_and_unique_panel_ids(file: str) -> None:
    document = dashboard(file)
    assert document["schemaVersion"] == 42
    assert document["title"] and document["description"] and document["tags"] == [frame.TAG]
    assert "id" not in document and "__inputs" not in document
    ids = [panel["id"] for panel in document["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    variables = [variable["name"] for variable in document["templating"]["list"]]
    assert variables[:2] == ["datasource", "page"]
    assert len(set(variables)) == len(variables)


def test_uids_of_dashboards_are_fixed_and_unique() -> None:
    assert {dashboard(file)["uid"] for file in FILES} == UIDS
    titles = Counter(dashboard(file)["title"] for file in FILES)
    assert max(titles.values()) == 1


@pytest.mark.parametrize("file", FILES)
def test_panels_lie_on_the_grid_without_overlap(file: str) -> None:
    places = [panel["gridPos"] for panel in dashboard(file)["panels"]]
    for place in places:
        assert place["w"] > 0 and place["h"] > 0 and place["x"] >= 0 and place["x"] + place["w"] <= 24, place
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("panel", panels(), ids=str)
def test_a_panel_says_what_it_shows_in_which_unit_and_what_is_undefined(panel: Panel) -> None:
    shown = panel.json
    assert shown["title"][0].isupper() or shown["title"][0].isdigit()
    assert len(shown["description"].split()) >= 5 and shown["description"].endswith(".")
    assert shown["fieldConfig"]["defaults"]["unit"]
    assert shown["fieldConfig"]["defaults"]["noValue"] == "\u2013"
    assert shown["targets"]
    if shown["type"] == "timeseries":
        assert shown["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


@pytest.mark.parametrize("panel", panels(), ids=str)
def test_a_panel_queries_the_datasource_variable(panel: Panel) -> None:
    sources = [panel.json["datasource"], *(target["datasource"] for target in panel.json["targets"])]
    assert {(source["type"], source["uid"]) for source in sources} == {("prometheus", "${datasource}")}
    references = [target["refId"] for target in panel.json["targets"]]
    assert len(set(references)) == len(references)


def test_titles_of_a_dashboard_are_different() -> None:
    twice = Counter(str(panel) for panel in panels())
    assert [title for title, times in twice.items() if times > 1] == []


def test_rates_follow_the_scrape_interval() -> None:
    wanted = {"rate": "$__rate_interval", "increase": "$__range"}
    functions = "rate|irate|increase|delta|idelta|deriv"
    for where, expression in expressions():
        windows = re.findall(rf"\b({functions})\([^()]*?\[([^]]*)\]", expression)
        assert len(windows) == len(re.findall(rf"\b(?:{functions})\(", expression)), where
        assert all(window == wanted.get(function) for function, window in windows), (where, windows)


def test_dashboards_query_existing_metrics_only() -> None:
    known = known_metrics()
    unknown = [(where, names) for where, expression in expressions() if (names := metrics(expression) - known)]
    assert unknown == []


def test_every_metric_of_a_worker_of_ingest_and_of_the_product_is_shown() -> None:
    named = {name for _, expression in expressions() for name in metrics(expression)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    ours = {spec.name for spec in (*METRICS, *ingest_metrics.METRICS, *FAMILIES)}
    # They exist with a setting only: a panel would mostly be empty.
    assert ours - shown == {"eval_alignment_judge_comparisons"}


def test_every_alert_has_a_panel_that_names_it_and_shows_its_metric() -> None:
    """The rule: the description of a panel names the alerts that it is about, and the panel shows a scraped metric of
    each (through recording rules, if need be). Every alert is named, and only existing alerts.
    """
    records = {rule.name: rule.expression for rule in rules() if not rule.alerts}
    needed = {rule.name: set(resolved(rule.expression, records)) for rule in rules() if rule.alerts}
    assert len(needed) > 10
    named = set()
    for panel in panels():
        shown = {metric for expression in panel.expressions for metric in resolved(expression, records)}
        for name in ALERTS.findall(panel.json["description"]):
            assert name in needed, f"{panel} names {name}, which is no alert"
            assert shown & needed[name], f"{panel} names {name}, and shows none of {sorted(needed[name])}"
            named.add(name)
    assert needed.keys() - named == set()


def test_panels_use_few_colours() -> None:
    text = json.dumps([dashboard(file) for file in FILES])
    colours = set(re.findall(r"#[0-9a-fA-F]{6}\b", text))
    assert len(colours) <= 5, colours


def test_provisioning_names_what_the_dashboards_ask_for() -> None:
    sources = yaml.safe_load((DIRECTORY / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert [(source["uid"], source["type"]) for source in sources] == [(frame.DATASOURCE_UID, "prometheus")]
    for file in FILES:
        (variable,) = (one for one in dashboard(file)["templating"]["list"] if one["name"] == "datasource")
        assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
        assert variable["current"]["value"] == frame.DATASOURCE_UID
    (provider,) = yaml.safe_load((DIRECTORY / "provisioning/dashboards/eval-alignment.yml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"], provider["folderUid"]) == ("file", False, "eval-alignment")
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert sources[0]["jsonData"]["timeInterval"] == scraped
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert "./monitoring/grafana/provisioning:/etc/grafana/provisioning:ro" in mounts


def test_variables_chain_from_queue_to_metric() -> None:
    chosen = {variable["name"]: variable for variable in dashboard("queue.json")["templating"]["list"]}
    assert list(chosen) == ["datasource", "page", "queue", "criterion", "metric"]
    assert "$" not in chosen["queue"]["query"]["query"]
    assert '"$queue"' in chosen["criterion"]["query"]["query"]
    assert '"$queue"' in chosen["metric"]["query"]["query"] and '"$criterion"' in chosen["metric"]["query"]["query"]
    for name in ("queue", "criterion", "metric"):
        assert chosen[name]["query"]["query"] == chosen[name]["definition"]
        assert chosen[name]["query"]["query"].endswith(f", {name})")


@pytest.fixture(scope="module")
def chosen(watched: Watched) -> dict[str, str]:
    """Values of the variables: the first pair of the sample."""
    samples = watched.prometheus.query("eval_alignment_kappa")
    labels = min((labels for labels, _ in samples), key=lambda labels: (labels["queue"], labels["metric"]))
    return {name: labels[name] for name in ("queue", "criterion", "metric")} | {"page": watched.installation.url}


def filled(expression: str, values: dict[str, str]) -> str:
    """An expression as Grafana sends it."""
    for name, value in RANGES.items():
        expression = expression.replace(name, value)
    return re.sub(r"\$(\w+)", lambda match: values[match[1]].replace("\\", r"\\").replace('"', r"\""), expression)


def test_every_query_parses_and_returns_series(watched: Watched, chosen: dict[str, str]) -> None:
    def unanswered() -> list[tuple[str, str]]:
        answers = {
            (where, expression): watched.prometheus.query(filled(expression, chosen))
            for where, expression in expressions()
            if not any(where == place and part in expression for place, part in EMPTY)
        }
        return [query for query, answer in answers.items() if all(isnan(value) for _, value in answer)]

    # Rules build on each other, one evaluation after the other.
    wait_until(lambda: not unanswered(), 20, lambda: f"these find something: {unanswered()}")


def test_queries_that_may_return_nothing_parse(watched: Watched, chosen: dict[str, str]) -> None:
    for where, expression in expressions():
        if any(where == place and part in expression for place, part in EMPTY):
            watched.prometheus.query(filled(expression, chosen))


def test_queries_that_may_return_nothing_exist() -> None:
    there = expressions()
    assert [
        key for key in EMPTY if not any(where == key[0] and key[1] in expression for where, expression in there)
    ] == []


def test_variables_return_values(watched: Watched, chosen: dict[str, str]) -> None:
    for variable in dashboard("queue.json")["templating"]["list"][2:]:
        query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
        assert query is not None
        options = watched.prometheus.data(f"label/{query[2]}/values", **{"match[]": filled(query[1], chosen)})
        assert chosen[variable["name"]] in options


def addresses() -> list[tuple[str, str]]:
    """Place and address of every link."""
    addresses = [(str(panel), url) for panel in panels() for url in panel.links]
    assert len(addresses) >= 8
    return addresses


def followed(url: str, row: dict[str, str]) -> str:
    """A link as Grafana opens it, from a table's row or under variables of these values."""

    def value(match: re.Match[str]) -> str:
        name, how = match[1].removeprefix("__data.fields."), match[2]
        assert how in (":percentencode", ":raw"), f"{url}: a name may hold anything"
        return row[name] if how == ":raw" else quote(row[name], safe="")

    whole = re.sub(r"\$\{(?!__url_time_range)([\w.]+)(:\w+)?\}", value, url)
    return whole.replace("${__url_time_range}", "from=now-1h&to=now")


@pytest.mark.parametrize(("where", "url"), addresses())
def test_a_link_is_well_formed_whatever_the_names(where: str, url: str) -> None:
    odd = 'a/b?c=d&e#f "g" %2F é'
    row = {"queue": odd, "criterion": odd, "metric": odd, "page": "http://127.0.0.1:8390"}
    parts = urlsplit(followed(url, row))
    assert "$" not in parts.geturl() and " " not in parts.geturl(), where
    assert not parts.fragment
    if parts.netloc:
        assert parts.path.split("/")[:3] == ["", "queues", quote(odd, safe="")]
    else:
        assert parts.path.removeprefix("/d/") in UIDS
        assert {name.partition("=")[0] for name in parts.query.split("&")} >= {
            "var-queue",
            "var-criterion",
            "var-metric",
        }


def test_links_open_our_page(chosen: dict[str, str]) -> None:
    opened = {followed(url, chosen) for _, url in addresses() if url.startswith("${page:raw}")}
    assert len(opened) >= 4
    answers = {url: get(url) for url in opened}
    assert {url: answer.status for url, answer in answers.items()} == dict.fromkeys(opened, 200)
    assert all(chosen["queue"].encode() in answer.body for answer in answers.values())


def columns(panel: Panel) -> Any:
    """The names of a table's columns."""
    organized = panel.json["transformations"][-1]["options"]
    return {*organized["renameByName"].values(), *organized["indexByName"]} - organized["excludeByName"].keys()


@pytest.mark.parametrize("panel", [panel for panel in panels() if panel.json["type"] == "table"], ids=str)
def test_a_table_sorts_and_formats_its_own_columns(panel: Panel) -> None:
    assert {entry["displayName"] for entry in panel.json["options"]["sortBy"]} <= columns(panel)
    dressed = {override["matcher"]["options"] for override in panel.json["fieldConfig"]["overrides"]}
    assert dressed <= columns(panel)


def fields_of(kind: str) -> set[str]:
    """Names of the options of a kind of panel, as its JSON has them."""
    fields = import_module(f"grafana_foundation_sdk.models.{kind}").FieldConfig
    words = [name.split("_") for name in signature(fields).parameters]
    return {"custom." + first + "".join(word.title() for word in rest) for first, *rest in words}


@pytest.mark.parametrize("panel", panels(), ids=str)
def test_overrides_name_what_grafana_knows(panel: Panel) -> None:
    standard = {"unit", "decimals", "displayName", "color", "links", "mappings", "thresholds"}
    for override in panel.json["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        named = {part["id"] for part in override["properties"]}
        own = fields_of(panel.json["type"]) if named - standard else set()
        assert named - standard <= own


@pytest.mark.parametrize("file", FILES)
def test_the_library_reads_the_json_back_as_it_is(file: str) -> None:
    """So no key that the library knows is misspelt."""
    builder = BUILDERS[file]()
    assert text(type(builder).from_json(dashboard(file))) == text(builder)
