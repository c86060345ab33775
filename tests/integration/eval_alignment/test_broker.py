"""The embedded broker starts, serves, restarts empty, and its errors name the cause."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from eval_alignment.local.broker import BrokerError, EmbeddedBroker
from tests.support.ports import free_port
from tests.support.processes import wait_until


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(free_port()) as running:
        yield running


async def topics(bootstrap: str, *new: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if new:
            await admin.create_topics([NewTopic(name, 2, 1) for name in new])
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def test_a_restarted_broker_keeps_its_address_and_loses_its_topics(broker: EmbeddedBroker) -> None:
    assert "events" in await topics(broker.bootstrap, "events")
    first = broker.pid
    await asyncio.to_thread(broker.stop)
    assert broker.pid is None
    await asyncio.to_thread(broker.start)
    assert broker.pid != first
    assert "events" not in await topics(broker.bootstrap)


def test_the_broker_starts_within_a_running_loop() -> None:
    async def start() -> None:
        with EmbeddedBroker(free_port()) as running:
            assert running.pid is not None

    asyncio.run(start())


def test_the_death_of_the_broker_is_seen(broker: EmbeddedBroker) -> None:
    pid = broker.pid
    assert pid is not None
    assert broker.poll() is None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert broker.poll() == -signal.SIGKILL
    assert broker.pid is None
    broker.start()
    assert broker.poll() is None


def test_a_taken_port_is_refused_and_its_owner_unharmed(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker(broker.port)
    with pytest.raises(BrokerError, match=f"cannot listen on 127.0.0.1:{broker.port}: Address already in use"):
        second.start()
    assert second.pid is None
    assert broker.pid is not None


OWNER = """
import sys, time
from eval_alignment.local.broker import EmbeddedBroker
broker = EmbeddedBroker(int(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""


def test_no_broker_outlives_a_killed_owner() -> None:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", OWNER, str(port)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30, "the broker has ended")
