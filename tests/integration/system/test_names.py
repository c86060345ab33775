"""Hostile names pass unchanged from `load` to `/metrics` and API; invalid names are rejected."""

import json
import subprocess
from unicodedata import normalize
from urllib.parse import quote

import pytest

from tests.support.deployments import Installation
from tests.support.exposition import series
from tests.support.processes import get, get_json, run, wait_until

pytestmark = pytest.mark.row(13)

DEADLINE = 60.0
AT = 1_780_000_000_000
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}

NAMES = (
    'say "hi"',
    '"',
    "back\\slash",
    "literal \\n, no line end",
    "ends with \\",
    '\\"',
    'x{a="1"} 2',
    'up"} 1',
    "# HELP x y",
    "# EOF",
    "{}",
    "a=b,c='d'",
    "a/b",
    "/",
    "a%2Fb",
    "100 %",
    "a/comparisons",
    "a?b=c&d#e",
    "a+b c",
    " spaces around ",
    "\u202eright to left\u202c",
    "\u2066isolated\u2069\u200b",
    "line\u2028separator\u2029s",
    "no\u00a0break",
    "caf\u00e9",
    "\U0001f600" * 128,
    "n" * 128,
    "\u05d0\u05d1\u05d2",
    "null",
    "<script>alert(1)</script>",
    "..",
)
TWIN = "cafe\u0301"
"""A name from above in another Unicode normal form."""

REFUSED = (
    ("line\\nend", "invalid_name"),
    ("carriage\\rreturn", "invalid_name"),
    ("\\u0000", "invalid_name"),
    ("next\\u0085line", "invalid_name"),
    ("\\u001b[31m", "invalid_name"),
    ("half \\ud83d of a pair", "invalid_name"),
    ("\\udc00", "invalid_name"),
    ("n" * 129, "invalid_name"),
    ("", "invalid_name"),
)
"""In their JSON form."""


def events() -> bytes:
    """An annotation and two evaluations for each name, used for queue, criterion, metric and judge."""
    lines = []
    for number, name in enumerate((*NAMES, TWIN)):
        item = {"at": AT, "item": f"named-{number}"}
        lines.append({**item, "id": "a", "queue": name, "criterion": name, "thumbs": "up"})
        lines.append({**item, "id": "e", "metric": name, "judge": name, "passed": True})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture(scope="module")
def named(embedded: Installation) -> Installation:
    """The installation, once it shows all names."""
    embedded.run("load", "--broker", embedded.broker, "-", stdin=events())

    def shown() -> bool:
        scraped = series(embedded.metrics())
        # The two normal forms are one queue with two comparisons.
        tp = sum(value for (name, labels), value in scraped.items() if is_ours(name, dict(labels)))
        return tp == len(NAMES) + 1

    wait_until(shown, DEADLINE, "every name is on the gauges")
    return embedded


def is_ours(name: str, labels: dict[str, str]) -> bool:
    """A true positive of one of the names, in its own queue."""
    return (
        name == "eval_alignment_comparisons"
        and labels["outcome"] == "tp"
        and labels["queue"] == labels["criterion"] == labels["metric"]
    )


def worker_metrics(installation: Installation, headers: dict[str, str] | None = None) -> str:
    """A scrape of the worker."""
    return get(f"http://{installation.worker_http}/metrics", headers).body.decode()


def view_metrics(installation: Installation, headers: dict[str, str] | None = None) -> str:
    """A scrape of the view."""
    return get(f"{installation.url}/metrics", headers).body.decode()


@pytest.mark.parametrize("scrape", [view_metrics, worker_metrics])
def test_promtool_accepts_the_metrics_of_hostile_names(named: Installation, promtool: str, scrape: object) -> None:
    assert callable(scrape)
    text = scrape(named)
    assert "eval_alignment_" in text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_parser_returns_exactly_the_names(named: Installation, openmetrics: bool) -> None:
    headers = OPENMETRICS if openmetrics else {}
    answer = get(f"{named.url}/metrics", headers)
    assert ("openmetrics" in answer.headers["content-type"]) is openmetrics
    # `series` fails on a duplicate series.
    scraped = series(answer.body.decode(), openmetrics=openmetrics)
    counts = {dict(labels)["queue"]: value for (name, labels), value in scraped.items() if is_ours(name, dict(labels))}
    assert counts == {name: 2 if name == normalize("NFC", TWIN) else 1 for name in NAMES}
    worker = series(worker_metrics(named, headers), openmetrics=openmetrics)
    assert any(name == "eval_alignment_events_total" for name, _ in worker)


def test_every_series_has_help_and_type_and_counters_alone_end_in_total(named: Installation) -> None:
    for text in (view_metrics(named), worker_metrics(named)):
        lines = text.splitlines()
        helped = {line.split()[2]: line.split(maxsplit=3)[3:] for line in lines if line.startswith("# HELP eval_")}
        typed = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE eval_")}
        assert helped.keys() == typed.keys()
        assert all(words and words[0].endswith(".") for words in helped.values()), helped
        for name, kind in typed.items():
            assert name.endswith("_total") is (kind == "counter"), name
            assert not name.endswith("_created"), name


def test_the_api_serves_each_queue_by_its_percent_encoded_name(named: Installation) -> None:
    listed: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get_json(f"{named.url}/api/v1/queues?limit=10{cursor and f'&cursor={cursor}'}")
        listed += [entry["queue"] for entry in page["queues"]]
        cursor = page["next"]
    assert len(listed) == len(set(listed))
    assert set(listed) >= set(NAMES)
    assert TWIN not in listed
    for name in (*NAMES, TWIN):
        expected = normalize("NFC", name)
        document = named.document(name)
        assert document["queue"] == expected
        (criterion,) = document["criteria"]
        (metric,) = criterion["metrics"]
        assert (criterion["criterion"], metric["metric"], list(metric["judges"])) == (expected, expected, [expected])
        rows = get_json(
            f"{named.url}/api/v1/queues/{quote(name, safe='')}/comparisons"
            f"?criterion={quote(name, safe='')}&metric={quote(name, safe='')}"
        )
        assert len(rows["comparisons"]) == metric["tp"] >= 1


def test_invalid_names_are_rejected_and_break_nothing(named: Installation) -> None:
    lines = [f'{{"id":"a","at":{AT},"queue":"{name}","item":"refused","thumbs":"up"}}' for name, _ in REFUSED]
    done = named.run("load", "--broker", named.broker, "-", stdin="\n".join(lines).encode(), expect=1)
    reported = done.stderr.decode().splitlines()
    assert [line.split(":", 3)[:3] for line in reported[: len(REFUSED)]] == [
        ["-", str(number), f" {reason}"] for number, (_, reason) in enumerate(REFUSED, start=1)
    ]
    # The report has no control characters.
    assert all(character.isprintable() or character == "\n" for character in done.stderr.decode())
    assert series(view_metrics(named))


def test_recount_and_report_print_hostile_names_safely(named: Installation) -> None:
    counted = json.loads(run("recount", "-", "--json", home=named.directory, stdin=events()).stdout)
    assert {document["queue"] for document in counted} == set(NAMES)
    shown = named.run("report", "--url", named.url).stdout.decode()
    assert "\u202e" not in shown
