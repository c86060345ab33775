"""`doctor` on running installations: no problem in a sound one, and a named finding for every injected fault."""

import asyncio
import json
import logging
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner

from aggregator.tallies import MARKER_KEY
from eval_alignment.commands.doctor import doctor
from eval_alignment.doctor.checks import CHECKS
from eval_alignment.ledger_export import last_markers
from streams.kafka.client import KafkaClient
from streams.kafka.producer import Outgoing, home_partition, producer, send_all
from streams.kafka.topics import TABLE, Topics
from tests.support.deployments import Cluster, Installation
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, wait_until
from tests.support.prometheus import Prometheus
from tests.support.requirements import Requirements

pytestmark = pytest.mark.slow

PARTITIONS: Final = 2
DEADLINE: Final = 60.0
AT: Final = 1_780_000_000_000
ITEM: Final = "doctored"


class Examined:
    """A cluster with events, and `doctor` run on it in this process."""

    def __init__(self, cluster: Cluster, ingest_url: str, prefix: str) -> None:
        self.cluster = cluster
        self.ingest_url = ingest_url
        self.client = KafkaClient([cluster.broker])
        self.topics = Topics(**{spec.role: prefix + getattr(Topics(), spec.role) for spec in TABLE})
        self.partition = home_partition(ITEM.encode(), PARTITIONS)

    def arguments(self) -> list[str]:
        workers = [word for url in self.cluster.worker_urls.values() for word in ("--worker-url", url)]
        where = ["--broker", self.cluster.broker, "--data-dir", str(self.cluster.data), "--view-url", self.cluster.url]
        return [*where, *workers, "--ingest-url", self.ingest_url, "--partition", str(self.partition), "--json"]

    def ask(self, *arguments: str) -> tuple[int, dict[str, str]]:
        """Exit code, and what was observed by name of the finding; `ok` has only one of several."""
        done = CliRunner().invoke(doctor, [*self.arguments(), *arguments], env=self.cluster.environment)
        assert done.exit_code in (0, 1, 2) and not done.stderr, (done.exit_code, done.output, done.exception)
        return done.exit_code, {finding["name"]: finding["observed"] for finding in json.loads(done.stdout)}

    def only(self, *checks: str) -> tuple[int, dict[str, str]]:
        """The same for these checks only."""
        return self.ask(*(word for check in checks for word in ("--only", check)))


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """Restore the log level that the command sets for its process, which is the tests' here."""
    log = logging.getLogger("aiokafka")
    level = log.level
    yield
    log.setLevel(level)


@pytest.fixture(scope="module")
def examined(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    """One cluster for all tests of this file: each test undoes its changes, except for the dead letters."""
    prefix = "doctored."
    directory, http = tmp_path_factory.mktemp("doctored"), f"{LOOPBACK}:{free_port()}"
    with (
        Cluster(kafka.bootstrap, prefix, directory, partitions=PARTITIONS) as cluster,
        Command(
            *("ingest", "--broker", kafka.bootstrap, "--http", http),
            log=directory / "ingest.log",
            environment=cluster.environment,
        ) as ingest,
    ):
        ingest.wait_ready(f"http://{http}")
        event = {"at": AT, "item": ITEM}
        cluster.send(
            {**event, "id": "a", "queue": "doctored", "thumbs": "up"},
            {**event, "id": "e", "metric": "m", "score": 0.9, "threshold": 0.5},
        )
        wait_until(lambda: cluster.document("doctored"), DEADLINE, "the events are counted")
        yield Examined(cluster, f"http://{http}", prefix)


def test_doctor_finds_nothing_in_a_sound_cluster(examined: Examined) -> None:
    done = examined.cluster.run("doctor", *examined.arguments())
    findings = json.loads(done.stdout)
    assert [finding["check"] for finding in findings if finding["severity"] == "info"] == ["prometheus", "alertmanager"]
    well = {finding["check"] for finding in findings if finding["name"] == "ok"}
    assert well == {check.name for check in CHECKS} - {"prometheus", "alertmanager"}
    (recounted,) = (finding["observed"] for finding in findings if finding["check"] == "recount")
    assert f"partition {examined.partition}: 2 tallies equal the recount of 2 ledger records" in recounted


async def alter(client: KafkaClient, topic: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**client.settings)
    await admin.start()
    try:
        (response,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    finally:
        await admin.close()
    assert [resource["error_code"] for resource in response.to_object()["resources"]] == [0], response


def test_doctor_finds_a_changed_topic_setting(examined: Examined) -> None:
    defaults = dict(next(spec for spec in TABLE if spec.role == "annotations").configs)
    topic = examined.topics.annotations

    def change(**configs: str) -> None:
        changed = {name.replace("_", "."): value for name, value in configs.items()}
        asyncio.run(alter(examined.client, topic, defaults | changed))

    try:
        change(retention_ms="3600000")
        # A broker reports a changed setting after a moment.
        wait_until(lambda: examined.only("topics")[0] == 1, DEADLINE, "the change is seen")
        code, findings = examined.only("topics")
        assert (code, list(findings)) == (1, ["topics_setting"])
        assert findings["topics_setting"] == f"{topic}: retention.ms is 3600000, expected 604800000"
        change(message_timestamp_type="CreateTime")
        wait_until(
            lambda: examined.only("topics")[0] == 2,
            DEADLINE,
            "a setting that decides which records are accepted is an error",
        )
    finally:
        change()
    wait_until(lambda: examined.only("topics")[0] == 0, DEADLINE, "the setting is correct again")


def test_doctor_finds_a_producer_with_another_partitioner(examined: Examined) -> None:
    item = "astray"
    home = home_partition(item.encode(), PARTITIONS)
    event = orjson.dumps({"id": "x", "at": AT, "queue": "doctored", "item": item, "thumbs": "up"})

    async def misroute() -> None:
        async def records() -> Any:
            yield Outgoing(examined.topics.annotations, event, item.encode(), partition=1 - home)
            yield Outgoing(examined.topics.annotations, event, b"another", partition=0)
            yield Outgoing(examined.topics.annotations, event, None, partition=0)

        assert len([sent async for sent in send_all(examined.client, records())]) == 3

    asyncio.run(misroute())
    code, findings = examined.only("producers")
    assert code == 2
    assert set(findings) >= {"misrouted", "key_missing", "key_mismatch"}
    assert f"the newest in partition {1 - home} at " in findings["misrouted"]

    def rejected() -> bool:
        code, findings = examined.only("dead-letters")
        return code == 1 and {"1 misrouted", "2 key_mismatch"} <= {
            part.partition(" from ")[0] for part in findings["dead_letters"].split(", ")
        }

    wait_until(rejected, DEADLINE, "three dead letters")
    examined.cluster.run("dlq", "ack", "--broker", examined.cluster.broker)
    assert examined.only("dead-letters") == (0, {"ok": "none in the last 24 hours but 3 acknowledged ones"})


def test_doctor_finds_a_prometheus_without_the_rules(
    examined: Examined, requirements: Requirements, tmp_path: Path
) -> None:
    requirements.provide("promtool", None if shutil.which("prometheus") else "prometheus is not on PATH")
    cluster = examined.cluster
    unused = f"{LOOPBACK}:{free_port()}"
    jobs = {"eval-alignment-view": [cluster.http], "eval-alignment-worker": [unused]}
    often = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}}

    def scrapes(of: dict[str, list[str]]) -> list[dict[str, Any]]:
        return [{"job_name": job, "static_configs": [{"targets": targets}]} for job, targets in of.items()]

    def ask(prometheus: Prometheus) -> tuple[int, dict[str, str]]:
        return examined.ask("--prometheus", prometheus.url, "--only", "prometheus", "--only", "alertmanager")

    with Prometheus(tmp_path / "bare", {**often, "scrape_configs": scrapes(jobs)}) as bare:
        wait_until(lambda: bare.query("count(up) == 2"), DEADLINE, "both are scraped")
        code, findings = ask(bare)
        assert (code, set(findings)) == (2, {"rules_missing", "targets_down", "alertmanager_missing"})
        assert unused in findings["targets_down"] and cluster.http not in findings["targets_down"]
    unreachable = f"http://{unused}"
    code, findings = examined.ask("--prometheus", unreachable, "--alertmanager", unreachable, "--only", "prometheus")
    assert (code, set(findings)) == (2, {"prometheus_unreachable"})
    rules = tmp_path / "rules.yml"
    rules.write_text(
        yaml.safe_dump({"groups": [{"name": "g", "rules": [{"alert": "EvalAlignmentDown", "expr": "up == 0"}]}]})
    )
    nowhere = {"alertmanagers": [{"static_configs": [{"targets": [unused]}]}]}
    sound = {
        **often,
        "rule_files": [str(rules)],
        "scrape_configs": scrapes({"any": [cluster.http]}),
        "alerting": nowhere,
    }
    with Prometheus(tmp_path / "sound", sound) as prometheus:
        wait_until(lambda: prometheus.query("count(eval_alignment_build_info)"), DEADLINE, "the view is scraped")
        code, findings = ask(prometheus)
        assert (code, set(findings)) == (2, {"ok", "alertmanager_unreachable"})
        assert findings["alertmanager_unreachable"].startswith(f"{unreachable}/-/ready: ")
        assert findings["ok"] == "1 alerts and 1 targets are ok, no alert fires"


def test_doctor_finds_a_view_that_ended(examined: Examined) -> None:
    cluster = examined.cluster
    assert cluster.view.terminate() == 0
    code, findings = examined.only("view", "worker")
    assert (code, set(findings)) == (2, {"view_unreachable", "ok"})
    cluster.view.start().wait_ready(cluster.url)
    assert examined.only("view")[0] == 0


def test_doctor_finds_a_worker_that_ended_and_a_wrong_tally(examined: Examined) -> None:
    cluster = examined.cluster
    (name,) = cluster.workers
    worker = cluster.workers[name]
    assert worker.terminate(number=signal.SIGTERM) == 0
    cluster.send({"id": "late", "at": AT, "queue": "doctored", "item": ITEM, "annotator": "ann", "thumbs": "down"})
    code, findings = examined.only("worker", "lag", "commits")
    assert (code, set(findings)) == (2, {"worker_unreachable", "lag", "commits_frozen"})
    assert f"{examined.topics.annotations}[{examined.partition}]" in findings["commits_frozen"]

    assert examined.only("recount")[0] == 0
    asyncio.run(lie(examined))
    code, findings = examined.only("recount")
    assert (code, list(findings)) == (2, ["tallies_differ"])
    assert "annotations / doctored / overall / 2026-05-28: published" in findings["tallies_differ"]

    # The group keeps a static member until its session ends.
    wait_until(lambda: "no_worker" in examined.only("workers")[1], DEADLINE, "the group has no members")
    worker.start().wait_ready(cluster.worker_urls[name])
    wait_until(
        lambda: examined.only("lag", "commits", "recount", "worker", "workers")[0] == 0,
        DEADLINE,
        "no check finds a problem",
    )


async def lie(examined: Examined) -> None:
    """Publish a wrong tally like a worker: stamped with the last checkpoint, followed by a marker."""
    closed, _ = (await last_markers(examined.client, examined.topics))[examined.partition]
    stamp = {name: closed[name] for name in ("ledger", "position", "policy")}
    key = orjson.dumps(["annotations", "doctored", "overall", "2026-05-28"])
    async with producer(examined.client) as out:

        async def publish(key: bytes, value: dict[str, Any]) -> int:
            written = await out.send_and_wait(
                examined.topics.tallies, orjson.dumps(value), key=key, partition=examined.partition
            )
            return int(written.offset)

        offset = await publish(key, {**stamp, "annotations": 7, "contributing": 7})
        await publish(MARKER_KEY, {**closed, "offset": offset + 1})


def test_doctor_examines_an_embedded_broker(embedded: Installation) -> None:
    arguments = ["--broker", embedded.broker, "--data-dir", str(embedded.data), "--view-url", embedded.url]
    # What these find depends on the events of other tests.
    left_out = {"dead-letters", "producers", "names", "scales"}
    skipped = [word for check in sorted(left_out) for word in ("--skip", check)]
    done = embedded.run("doctor", *arguments, "--worker-url", f"http://{embedded.worker_http}", *skipped, "--json")
    findings = json.loads(done.stdout)
    well = {finding["check"] for finding in findings if finding["name"] == "ok"}
    unasked = {"prometheus", "alertmanager"}
    assert well == {check.name for check in CHECKS} - unasked - left_out
