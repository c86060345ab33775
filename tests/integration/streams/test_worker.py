"""A worker whose group coordinator dies, that restarts, is idle, and stops: what Faust and aiokafka get wrong here."""

import signal

from streams.runtime.exit_codes import ExitCode
from tests.integration.streams.rig import Rig, history


async def test_a_dead_coordinator_ends_the_worker(rig: Rig) -> None:
    """With an address that changes between starts, the coordinator's task dies on the first assignment."""
    first = rig.worker(url="http://first")
    await rig.restored(first)
    first.kill()
    second = rig.worker(url="http://second")
    assert await second.ended(20.0) == ExitCode.STALLED.code
    assert "the task that keeps the group membership has ended" in second.text()


async def test_a_fixed_address_restarts_within_the_session(rig: Rig) -> None:
    first = rig.worker()
    await rig.restored(first)
    first.kill()
    second = rig.worker()
    # The group's session lasts 10 s: only the stable name and address are faster.
    await rig.restored(second, 8.0)


async def test_an_idle_worker_collects_garbage(rig: Rig) -> None:
    worker = rig.worker(inject="a_cycle_ends")
    await rig.restored(worker)
    worker.signal(signal.SIGUSR1)

    async def collected() -> bool:
        return "the cycle was collected" in worker.text()

    await rig.until("collected", collected)


async def test_a_worker_runs_no_producer_or_web_server_of_faust_and_makes_no_directory_but_its_own(rig: Rig) -> None:
    before = set(rig.directory.iterdir())
    worker = rig.worker()
    await rig.restored(worker)
    await rig.produce(history(seed=41, events=10))
    await rig.settled()
    worker.signal(signal.SIGTERM)
    assert await worker.ended(10.0) == 0
    for service in ("Producer", "Web"):
        assert f"{service}: Starting" not in worker.text()
    assert set(rig.directory.iterdir()) == before | {worker.log, rig.directory / "waiting-w1"}
