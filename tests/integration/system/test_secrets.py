"""No log at level debug has a secret: passwords of SASL PLAIN, tokens, and API keys of tools."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import kafka as apache
from tests.support.fake_tools.base import FakeClock
from tests.support.fake_tools.langfuse import PUBLIC_KEY, SECRET_KEY, FakeLangfuse
from tests.support.fake_tools.serving import served
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, get, run, wait_until
from tests.support.requirements import Requirements

pytestmark = pytest.mark.slow

PASSWORD = "Sup3rSecret-Passw0rd"
TOKEN = "t0ken-of-32-bytes-or-more-0123456789abcdef"


@pytest.fixture
def plain(requirements: Requirements, tmp_path: Path) -> Iterator[str]:
    """The address of a broker's listener that wants SASL PLAIN."""
    requirements.provide("kafka", apache.missing())
    own, secured, controller = free_port(), free_port(), free_port()
    listeners = f"PLAINTEXT://{LOOPBACK}:{own},SASL_PLAINTEXT://{LOOPBACK}:{secured}"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = {
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ("PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
            f'{module} required username="u" password="{PASSWORD}" user_u="{PASSWORD}";'
        ),
    }
    with Kafka(port=own, controller=controller, directory=tmp_path / "kafka", properties=properties):
        yield f"{LOOPBACK}:{secured}"


def secrets() -> Iterator[str]:
    """What must not be in a log, in the forms in which libraries print it."""
    for secret in (PASSWORD, TOKEN, SECRET_KEY):
        yield secret
        yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode().rstrip("=")
    yield base64.b64encode(f"x:{TOKEN}".encode()).decode().rstrip("=")


def environment(directory: Path, broker: str) -> dict[str, str]:
    """Settings of all processes, with level debug."""
    for name, secret in (("password", PASSWORD), ("token", TOKEN)):
        (directory / name).write_text(f"{secret}\n")
        (directory / name).chmod(0o600)
    return {
        "EVAL_ALIGNMENT_BROKERS": broker,
        "EVAL_ALIGNMENT_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "EVAL_ALIGNMENT_SASL_MECHANISM": "PLAIN",
        "EVAL_ALIGNMENT_SASL_USERNAME": "u",
        "EVAL_ALIGNMENT_SASL_PASSWORD_FILE": str(directory / "password"),
        "EVAL_ALIGNMENT_TOKEN_FILE": str(directory / "token"),
        "EVAL_ALIGNMENT_NAME": "w1",
        "EVAL_ALIGNMENT_DATA_DIR": str(directory / "data"),
        "EVAL_ALIGNMENT_LOG_LEVEL": "debug",
        "PYTHONASYNCIODEBUG": "1",
    }


def test_no_process_and_no_command_logs_a_secret(plain: str, tmp_path: Path) -> None:
    settings = environment(tmp_path, plain)
    outputs = [run("topics", "apply", "--partitions", "2", home=tmp_path, environment=settings)]
    tool = FakeLangfuse(FakeClock(int(time.time() * 1000) - 600_000))
    tool.add_score("quality", 4, item="t1", author="ada")
    credentials = tmp_path / "langfuse.toml"
    credentials.write_text(f'LANGFUSE_PUBLIC_KEY = "{PUBLIC_KEY}"\nLANGFUSE_SECRET_KEY = "{SECRET_KEY}"\n')
    credentials.chmod(0o600)
    urls = {name: f"http://{LOOPBACK}:{free_port()}" for name in ("worker", "view", "ingest")}
    with served(tool) as url:
        source = {"tool": "langfuse", "url": url, "credentials_file": str(credentials), "interval_s": 1, "queue": "q"}
        sources = {"support": {**source, "criteria": {"quality": {"rating": "stars"}}}}
        settings |= {"EVAL_ALIGNMENT_SOURCES": json.dumps(sources)}
        commands = {
            name: Command(
                name, "--http", url.removeprefix("http://"), log=tmp_path / f"{name}.log", environment=settings
            )
            for name, url in urls.items()
        }
        doctor = Command("doctor", "--worker-url", urls["worker"], log=tmp_path / "doctor.log", environment=settings)
        try:
            for name, command in commands.items():
                command.start()
                command.wait_ready(urls[name])
            authorised = {"Authorization": f"Bearer {TOKEN}"}
            wait_until(lambda: b"q" in get(f"{urls['view']}/api/v1/queues", authorised).body, 60.0, "pulled")
            basic = base64.b64encode(f"x:{TOKEN}".encode()).decode()
            assert get(f"{urls['view']}/metrics", {"Authorization": f"Basic {basic}"}).status == 200
            outputs += [
                run(*arguments, home=tmp_path, environment=settings)
                for arguments in (("dlq", "ls"), ("export", "--output", str(tmp_path / "out")), ("config", "show"))
            ]
            doctor.start().wait(120.0)
            commands["doctor"] = doctor
        finally:
            for command in commands.values():
                command.close()
    texts = {name: command.text() for name, command in commands.items()}
    texts |= {" ".join(done.args[3:5]): (done.stdout + done.stderr).decode() for done in outputs}
    for name, text in texts.items():
        leaked = [line for line in text.splitlines() if any(secret in line for secret in secrets())]
        assert leaked == [], name
