"""Both clients under one set of methods, so that a test holds for each of them."""

import asyncio
import contextlib
import inspect
import time
from types import TracebackType
from typing import Any, Final, Protocol, Self

import pytest

from eval_alignment import AsyncClient, Client, ClientError, DeliveryError

_DEADLINE_S: Final = 60.0


class DrivenClient(Protocol):
    """What tests do with a client."""

    accepted: int
    rejected: int
    pending: int

    def annotate(self, **event: Any) -> str: ...
    def evaluate(self, **event: Any) -> str: ...
    def queue_item(self, **event: Any) -> str: ...
    def flush(self, timeout_s: float = 30.0) -> None: ...
    def close(self, timeout_s: float | None = None) -> None: ...
    def end(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlockingAsyncClient:
    """An AsyncClient on an event loop of its own, which runs during calls only."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.client = AsyncClient(*arguments, **options)
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.client, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        def call(*arguments: Any, **options: Any) -> Any:
            return self._runner.run(attribute(*arguments, **options))

        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self.client.__aexit__(kind, error, trace))

    def end(self) -> None:
        """Close the client without waiting, and the event loop."""
        with contextlib.suppress(ClientError):
            self._runner.run(self.client.close(timeout_s=0))
        self._runner.close()


class EndingClient(Client):
    """A Client that a test can end as it ends the other one."""

    def end(self) -> None:
        """Close the client without waiting."""
        with contextlib.suppress(ClientError):
            self.close(timeout_s=0)


CLIENTS: dict[str, Any] = {"sync": EndingClient, "async": BlockingAsyncClient}


def not_sent(client: DrivenClient) -> DeliveryError:
    """What a flush raises once an attempt has failed: before, there was not enough time for one."""
    end = time.monotonic() + _DEADLINE_S
    while True:
        with pytest.raises(DeliveryError) as raised:
            client.flush(timeout_s=0.1)
        if raised.value.cause != "there was not enough time":
            return raised.value
        assert time.monotonic() < end, "an attempt has failed"
