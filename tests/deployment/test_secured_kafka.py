"""Kafka over TLS and SASL, with the access rules of docs/security.md: sufficient, and none of them superfluous."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.helpers import create_ssl_context

from ingest.openapi import EVENTS_PATH
from tests.support import kafka as apache
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, get, get_json, run, wait_until
from tests.support.requirements import Requirements
from tests.support.secured import ADMIN, Rule, SecuredKafka
from tests.support.tree import ROOT

# Each of Kafka's tools is a Java process.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

USERS = ("worker", "view", "producer", "sources", "operator", "reader")
SECONDS = 60.0
EVENTS = (
    {"id": "a1", "at": "2026-11-23T10:15:00Z", "queue": "q", "item": "i", "criterion": "c", "annotator": "n"}
    | {"thumbs": "down"},
    {"id": "q1", "at": "2026-11-23T10:13:00Z", "kind": "queue_item", "queue": "q", "item": "i"},
    {"id": "e1", "at": "2026-11-23T10:14:02Z", "item": "i", "metric": "m", "score": 0.81, "threshold": 0.5},
)
LABELS = {"tool": "labelstudio", "queue": "other", "item": "trace", "criteria": {"tone": {"rating": "stars"}}}
LABELLED = {
    "action": "ANNOTATION_CREATED",
    "annotation": {
        "id": 1,
        "task": 2,
        "updated_at": "2026-09-21T14:00:00.000000Z",
        "completed_by": 3,
        "result": [{"type": "rating", "from_name": "tone", "value": {"rating": 4}}],
    },
    "task": {"id": 2, "data": {"trace": "t"}},
}
_ADDED = re.compile(
    r"ResourcePattern\(resourceType=(\w+), name=([^,]+), patternType=(\w+)\)`: \n((?: \t\(principal=.*\n)+)"
)
_GRANT = re.compile(r"principal=User:(\w+), host=\*, operation=(\w+), permissionType=ALLOW")


@pytest.fixture(scope="module")
def secured(requirements: Requirements, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    requirements.provide("kafka", apache.missing())
    passwords = {user: f"pass-of-the-{user}" for user in USERS}
    with SecuredKafka(tmp_path_factory.mktemp("secured"), passwords) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def rules(secured: SecuredKafka) -> set[Rule]:
    """The access rules of docs/security.md, applied by running its commands."""
    page = (ROOT / "docs" / "security.md").read_text()
    (script,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (properties,) = re.findall(r"```properties\n(.*?)```", page, re.DOTALL)
    (secured.ca.parent / "admin.properties").write_text(properties.replace("...", secured.passwords[ADMIN]))
    output = secured.run_with_tools(script, {"BROKER": secured.bootstrap})
    return {
        (user, operation, kind, name, pattern)
        for kind, name, pattern, grants in _ADDED.findall(output)
        for user, operation in _GRANT.findall(grants)
    }


@pytest.fixture(scope="module")
def installed(secured: SecuredKafka, rules: set[Rule], tmp_path_factory: pytest.TempPathFactory) -> SecuredKafka:
    """The broker with access rules and topics."""
    del rules
    home = tmp_path_factory.mktemp("operator")
    run("topics", "apply", "--partitions", "2", home=home, environment=secured.environment("operator"))
    return secured


def producer(secured: SecuredKafka, user: str) -> AIOKafkaProducer:
    """A producer with the credentials of this user."""
    return AIOKafkaProducer(
        bootstrap_servers=secured.bootstrap,
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=user,
        sasl_plain_password=secured.passwords[user],
        ssl_context=create_ssl_context(cafile=str(secured.ca)),
    )


async def send(secured: SecuredKafka, user: str, topic: str, value: bytes) -> None:
    async with producer(secured, user) as client:
        await client.send_and_wait(topic, value, key=b"i")


def test_the_access_rules_of_the_docs_suffice_and_all_are_used(
    installed: SecuredKafka, rules: set[Rule], tmp_path: Path
) -> None:
    secured = installed

    def do(user: str, *arguments: str, stdin: bytes = b"") -> str:
        done = run(*arguments, home=tmp_path, environment=secured.environment(user), stdin=stdin)
        return done.stdout.decode()

    assert "no differences" in do("operator", "topics", "diff")
    addresses = {name: f"{LOOPBACK}:{free_port()}" for name in ("worker", "view", "ingest")}
    of_sources = f"{LOOPBACK}:{free_port()}"
    worker = Command(
        *("worker", "--name", "w1", "--http", addresses["worker"]),
        log=tmp_path / "worker.log",
        environment=secured.environment("worker"),
    )
    view = Command(
        *("view", "--data-dir", str(tmp_path / "view"), "--http", addresses["view"]),
        log=tmp_path / "view.log",
        environment=secured.environment("view"),
    )
    ingest = Command(
        *("ingest", "--http", addresses["ingest"]),
        log=tmp_path / "ingest.log",
        environment=secured.environment("producer"),
    )
    with_sources = Command(
        *("ingest", "--http", of_sources),
        log=tmp_path / "sources.log",
        environment={
            **secured.environment("sources"),
            "EVAL_ALIGNMENT_SOURCES": json.dumps({"labels": LABELS}),
            "EVAL_ALIGNMENT_DATA_DIR": str(tmp_path / "sources"),
        },
    )
    with view, worker, ingest, with_sources:
        worker.wait_ready(f"http://{addresses['worker']}")
        view.wait_ready(f"http://{addresses['view']}")
        ingest.wait_ready(f"http://{addresses['ingest']}")
        with_sources.wait_ready(f"http://{of_sources}")
        asyncio.run(send(secured, "producer", "alignment.annotations.v1", b"{"))
        first, *others = EVENTS
        do("producer", "load", "-", stdin=b"".join(json.dumps(event).encode() + b"\n" for event in others))
        answer = httpx.post(f"http://{addresses['ingest']}{EVENTS_PATH}", json=first, timeout=SECONDS)
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
        answer = httpx.post(f"http://{of_sources}/api/v1/sources/labels", json=LABELLED, timeout=SECONDS)
        assert (answer.status_code, answer.json()["events"]) == (200, 1)
        answer = httpx.post(f"http://{of_sources}{EVENTS_PATH}", json=others, timeout=SECONDS)
        assert (answer.status_code, answer.json()["accepted"]) == (200, len(others)), "repetitions"
        answer = httpx.post(f"http://{of_sources}/api/v1/sources/labels", content=b"[1]", timeout=SECONDS)
        assert answer.status_code == 422, "a dead letter"
        address = f"http://{addresses['view']}/api/v1/queues/q?window=all"
        wait_until(lambda: get(address).status == 200 and get_json(address)["criteria"], SECONDS, "a document")
        written = 'eval_alignment_events_rejected_total{reason="malformed",topic="alignment.annotations.v1"} 1'
        metrics = f"http://{addresses['worker']}/metrics"
        wait_until(lambda: written.encode() in get(metrics).body, SECONDS, "a rejected event")
        assert "malformed" in do("reader", "dlq", "ls")
        assert len(do("reader", "export").splitlines()) == len(EVENTS) + 1
        where = [word for name in addresses for word in (f"--{name}-url", f"http://{addresses[name]}")]
        # A check that lacks a right would make the exit code 1.
        assert do("reader", "dlq", "ack") == "2 dead letters acknowledged\n"
        do("operator", "doctor", *where, "--json")
        published = ("view", "WRITE", "TOPIC", "alignment.snapshots.v1", "LITERAL")
        wait_until(lambda: published in secured.used_rules(), SECONDS, "the snapshot is published")
        assert worker.terminate() == 0
        assert view.terminate() == 0
        assert ingest.terminate() == 0
        assert with_sources.terminate() == 0
    assert rules
    assert rules - secured.used_rules() == set()
    for log in (worker.text(), view.text(), ingest.text(), with_sources.text()):
        assert not any(password in log for password in secured.passwords.values())


@pytest.mark.parametrize(("user", "topic"), [("view", "facts"), ("producer", "tallies"), ("reader", "annotations")])
async def test_a_user_cannot_write_to_the_topics_of_others(installed: SecuredKafka, user: str, topic: str) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await send(installed, user, f"alignment.{topic}.v1", b"{}")


@pytest.mark.usefixtures("rules")
def test_only_the_operator_may_create_topics(secured: SecuredKafka, tmp_path: Path) -> None:
    environment = secured.environment("worker") | {"EVAL_ALIGNMENT_TOPIC_PREFIX": "other."}
    done = run("topics", "apply", home=tmp_path, environment=environment, expect=1)
    assert b"cannot be created: Authorization failed" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "code", "cause"),
    [
        ("password", 80, r"SaslAuthenticationFailed: .* invalid credentials"),
        ("authority", 87, "unable to get local issuer certificate"),
        ("host", 87, "certificate is not valid for 'localhost'"),
    ],
)
def test_a_refused_connection_ends_with_its_cause_and_exit_code(
    secured: SecuredKafka, wrong: str, code: int, cause: str, tmp_path: Path
) -> None:
    environment = secured.environment("worker")
    secret = "never-to-be-seen"
    match wrong:
        case "password":
            other = tmp_path / "password"
            other.write_text(secret)
            environment["EVAL_ALIGNMENT_SASL_PASSWORD_FILE"] = str(other)
        case "authority":
            del environment["EVAL_ALIGNMENT_SSL_CA_FILE"]
        case "host":
            environment["EVAL_ALIGNMENT_BROKERS"] = secured.elsewhere()
    worker = ("worker", "--name", "w1", "--http", f"{LOOPBACK}:{free_port()}")
    outputs = []
    for arguments, expect in ((worker, code), (("topics", "diff"), 1)):
        done = run(*arguments, home=tmp_path, environment=environment, expect=expect)
        outputs.append((done.stdout + done.stderr).decode())
    # The cause is the last line of the log, not hidden by a traceback.
    for text, prefix in zip(outputs, ("worker ends: ", "^Error: "), strict=True):
        assert re.search(prefix + ".*" + cause, text, re.MULTILINE), text
    assert not any(password in text for text in outputs for password in (secret, secured.passwords["worker"]))


def test_a_view_that_the_broker_refuses_keeps_serving_and_logs_why(secured: SecuredKafka, tmp_path: Path) -> None:
    environment = secured.environment("view")
    environment["EVAL_ALIGNMENT_SASL_USERNAME"] = "nobody"
    http = f"{LOOPBACK}:{free_port()}"
    arguments = ("view", "--data-dir", str(tmp_path / "view"), "--http", http)
    with Command(*arguments, log=tmp_path / "view.log", environment=environment) as view:
        wait_until(lambda: "SaslAuthenticationFailed" in view.text(), SECONDS, view.text)
        assert get(f"http://{http}/healthz").status == 200
        assert get(f"http://{http}/readyz").status == 503
        assert view.terminate() == 0
        assert secured.passwords["view"] not in view.text()


@pytest.mark.parametrize("given", ["variable", "file"])
def test_config_show_hides_secrets(given: str, tmp_path: Path) -> None:
    secret = "never-to-be-seen"
    environment = {"EVAL_ALIGNMENT_SECURITY_PROTOCOL": "SASL_SSL", "EVAL_ALIGNMENT_SASL_USERNAME": "worker"}
    if given == "variable":
        environment["EVAL_ALIGNMENT_SASL_PASSWORD"] = secret
    else:
        (tmp_path / "password").write_text(secret)
        environment["EVAL_ALIGNMENT_SASL_PASSWORD_FILE"] = str(tmp_path / "password")
    for options in ((), ("--json",)):
        done = run("config", "show", *options, home=tmp_path, environment=environment)
        assert secret.encode() not in done.stdout + done.stderr
    # Errors of settings do not show values.
    broken = environment | {"EVAL_ALIGNMENT_PARTITIONS": "none"}
    done = run("config", "show", home=tmp_path, environment=broken, expect=64)
    assert secret.encode() not in done.stdout + done.stderr


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environment = {
        "EVAL_ALIGNMENT_SECURITY_PROTOCOL": "SASL_SSL",
        "EVAL_ALIGNMENT_SASL_USERNAME": "worker",
        "EVAL_ALIGNMENT_SASL_PASSWORD_FILE": str(tmp_path / "nothing"),
    }
    done = run("topics", "diff", home=tmp_path, environment=environment, expect=64)
    assert f"sasl_password_file: cannot read {tmp_path / 'nothing'}: No such file" in done.stderr.decode()
    environment["EVAL_ALIGNMENT_SASL_PASSWORD"] = "another"
    done = run("topics", "diff", home=tmp_path, environment=environment, expect=64)
    assert b"only one can be given" in done.stderr
