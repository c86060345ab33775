"""A supervisor for tests: starts again what ended with an exit code after which restarting is right."""

import asyncio
import contextlib
from typing import Self

from streams.failures import Failure
from tests.streams.rig import Rig

RESTARTED = frozenset(failure.value.code for failure in Failure if failure.value.restart)
_LOOK_SECONDS = 0.2


class Supervisor:
    """Keeps workers of a rig running; `endings` are the exit codes it saw. Use with `async with`."""

    def __init__(self, rig: Rig, names: tuple[str, ...]) -> None:
        self.endings: list[int] = []
        self._rig = rig
        self.workers = {name: rig.worker(name) for name in names}

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        failed = self._task.done()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        assert not failed, "the supervisor ended"

    async def _run(self) -> None:
        while True:
            for name, worker in self.workers.items():
                if (code := worker.process.poll()) is not None:
                    assert code in RESTARTED, worker.text()[-3000:]
                    self.endings.append(code)
                    self.workers[name] = self._rig.worker(name)
            await asyncio.sleep(_LOOK_SECONDS)
