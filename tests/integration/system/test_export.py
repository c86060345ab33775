"""`export` is complete: a recount of it, and an installation that loads it, have the same documents as the API."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
import pytest

from aggregator.facts import Annotation, Evaluation, Fact, encode
from aggregator.recount import Recount
from tests.integration.streams.rig import history
from tests.support.deployments import Cluster, Installation
from tests.support.documents import Documents, comparable, documents
from tests.support.kafka import Kafka
from tests.support.processes import run, wait_until

DEADLINE = 60.0


def recounted(file: Path) -> Documents:
    """All documents of a file by queue, from `recount`."""
    printed = json.loads(run("recount", str(file), "--json", home=file.parent).stdout)
    return {document["queue"]: comparable(document) for document in printed}


def lines(facts: Iterable[Fact]) -> Iterator[bytes]:
    """Facts as lines of a file of events."""
    for fact in facts:
        kind = {Annotation: "annotation", Evaluation: "evaluation"}.get(type(fact), "queue_item")
        yield orjson.dumps({"kind": kind, **orjson.loads(encode(fact))}) + b"\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with corrections, deletions, failures, old judges and items that left their queue.

    It is not the shared one: its documents are compared as a whole, and other tests add to the same queues.
    """
    facts = history(seed=3, events=3000, items=300)
    oracle = Recount(facts)
    expected = {queue: comparable(orjson.loads(orjson.dumps(oracle.document(queue)))) for queue in oracle.queues}
    assert any(document["cards"]["comparisons"] > 100 for document in expected.values())
    with Installation(tmp_path_factory.mktemp("source")) as installation:
        file = installation.directory / "history.ndjson"
        file.write_bytes(b"".join(lines(facts)))
        installation.load(file)
        wait_until(lambda: documents(installation) == expected, DEADLINE, "it is counted")
        yield installation


@pytest.fixture(scope="module")
def exported(source: Installation) -> Path:
    file = source.directory / "export.ndjson"
    source.run("export", "--broker", source.broker, "--output", str(file))
    return file


def test_a_recount_of_the_export_equals_the_api(source: Installation, exported: Path) -> None:
    rows = [json.loads(line) for line in exported.read_bytes().splitlines()]
    assert {row["kind"] for row in rows} == {"annotation", "evaluation", "queue_item"}
    for kind in ("annotation", "evaluation", "queue_item"):
        assert any(row.get("deleted") for row in rows if row["kind"] == kind), kind
    assert recounted(exported) == documents(source)


def test_the_export_of_a_queue_recounts_to_its_document(source: Installation) -> None:
    printed = source.run("export", "--broker", source.broker, "--queue", "support").stdout
    file = source.directory / "one-queue.ndjson"
    file.write_bytes(printed)
    assert recounted(file) == {"support": documents(source)["support"]}


@pytest.mark.slow
def test_an_export_loaded_with_another_number_of_partitions_gives_the_same_documents(
    source: Installation, exported: Path, kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    """On Apache Kafka, under another prefix; loading it twice changes nothing."""
    with Cluster(kafka.bootstrap, prefix, tmp_path, partitions=3) as target:
        target.load(exported)
        expected = documents(source)
        wait_until(lambda: documents(target) == expected, DEADLINE, "the documents are equal")
        target.load(exported)
        again = target.directory / "again.ndjson"

        def exported_again() -> bool:
            printed = target.run("export", "--broker", target.broker, "--output", str(again))
            return b"not processed yet" not in printed.stderr

        wait_until(exported_again, DEADLINE, "everything is processed")
        assert sorted(again.read_bytes().splitlines()) == sorted(exported.read_bytes().splitlines())
        assert documents(target) == expected
