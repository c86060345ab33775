"""The image and docker-compose.yml of today have run on both engines."""

import json
from pathlib import Path

import pytest

from tests.support.processes import run
from tests.support.tree import ROOT
from tools.containers import ARM64, ENGINES, RECORDS, covers
from tools.containers.__main__ import main
from tools.containers.installation_checks import Events
from tools.records import changes, content_hashes, load

NAMES = (ARM64, *ENGINES)


# Slow, because it fails after a change of any source file until `make containers` has run again; `.ci/run` includes it.
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_has_changed_since_the_last_run(name: str) -> None:
    changed = changes(load(RECORDS).get(name), content_hashes(covers(name)))
    assert changed == [], f"run `make containers`, or only `make containers ENGINE={name}`"


def test_the_record_has_only_what_is_run() -> None:
    assert load(RECORDS).keys() == set(NAMES)


def test_a_run_covers_all_that_the_image_and_the_services_are_made_from() -> None:
    covered = set(content_hashes(covers(ENGINES[0])))
    assert {
        "Dockerfile",
        ".dockerignore",
        "docker-compose.yml",
        "requirements.txt",
        "requirements-build.txt",
        "deploy/container/run_or_park.py",
        "streams/runtime/exit_codes.py",
        "ingest/app.py",
        "monitoring/prometheus/prometheus.yml",
        "tests/support/kafka/pom.xml",
        "tools/containers/installation_checks.py",
        "tools/containers/stand_ins/kafka/run",
    } <= covered
    assert str(RECORDS.relative_to(ROOT)) not in covered


@pytest.mark.parametrize("name", ENGINES)
def test_docs_name_the_versions_of_the_last_run(name: str) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    results = load(RECORDS)[name].results
    versions = [str(results[part]) for part in ("engine", "runc", "compose", "kafka", "prometheus", "alertmanager")]
    assert [version for version in versions if version not in page] == []


def test_the_expected_gauges_are_the_recount_of_the_events(tmp_path: Path) -> None:
    items = range(3, 300)
    events, path = Events(), tmp_path / "events.ndjson"
    path.write_text(events.both(items), encoding="utf-8")
    (document,) = json.loads(run("recount", "--json", str(path), home=tmp_path).stdout)
    (pair,) = document["criteria"][0]["metrics"]
    assert {name: pair[name] for name in ("tp", "fn", "fp", "tn")} == events.outcomes(items)


def test_an_unknown_engine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sarge"]) == 2
    assert "unknown engines: sarge; known are " in capsys.readouterr().err
