"""How a command runs a source: by itself, or through the `ingest` that has its owner index.

The owner index has one process that may use it. A command that finds it in use asks that process over HTTP.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import click
import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from eval_alignment import kafka_wiring, wiring
from eval_alignment.input_checks import now_ms
from eval_alignment.settings import Settings
from ingest.clock import BrokerClock
from ingest.publish import TooLargeForBrokerError
from ingest.pulls import PullLine
from ingest.rebuild import SourceTopics
from ingest.sources import SOURCES_PATH, KafkaDelivery
from sinks.access import read_token
from sources.intake.intake import IntakeResult, Refusal, SourceIntake
from sources.intake.store import IndexInUseError, IndexStore, IndexUnusableError
from sources.pulls.pull import PullError
from sources.pulls.sync import Observer, PullClocks, PullRequest, SourcePull, StreamReport
from sources.records import UnknownShapeError
from streams.kafka.producer import Outgoing, producer, require_sources
from streams.runtime.http_client import STREAMED, TRANSPORT_ERRORS, async_client, explain, lines

_ANSWER_SECONDS: Final = 600.0
"""A source may have much to say before it answers."""


class RunnableSource(Protocol):
    """A source that a command runs."""

    async def file(self, content: bytes, made: int) -> IntakeResult:
        """Take a file that was made at a time in milliseconds. Raises UnknownShapeError, KafkaError, ClickException."""

    async def retract(self) -> IntakeResult:
        """Take back everything that the source stated. Raises KafkaError, ClickException."""

    async def sync(self, request: PullRequest, observe: Observer) -> list[StreamReport]:
        """Pull what is due. Raises PullError, CredentialsError, KafkaError, ClickException."""


@asynccontextmanager
async def open_source(chosen: Settings, name: str) -> AsyncIterator[RunnableSource]:
    """Access to the source with this name.

    Raises UnknownNameError for a name that is not configured, TopicsError, KafkaError, and ClickException when the
    process that has the index does not answer.
    """
    source = wiring.source(chosen, name)
    store = None
    try:
        store = IndexStore(chosen.data_dir, command="source")
    except (IndexInUseError, IndexUnusableError) as error:
        # Without an index, names without a rule are not kept.
        if source.owns:
            if isinstance(error, IndexUnusableError):
                raise
            async with _HttpSource.connect(chosen, name) as remote:
                yield remote
            return
    with contextlib.nullcontext() if store is None else contextlib.closing(store):
        client, topics = kafka_wiring.client(chosen), kafka_wiring.topics(chosen)
        await require_sources(client, topics)
        async with producer(client) as out:
            publisher = CommandPublisher(out)
            index = None if store is None else store.index(source.rules.settings.prefix)
            intake = SourceIntake(source, KafkaDelivery(name, publisher, topics), index)
            if index is not None and source.owns:
                prefixes = [settings.prefix for settings in chosen.sources.values()]
                where = SourceTopics(client, topics, wiring.group(chosen), source.decoder, prefixes)
                await where.catch_up([intake])
            yield _LocalSource(name, intake)


@dataclass(slots=True)
class CommandPublisher:
    """Sends records with a producer."""

    producer: AIOKafkaProducer
    clock: BrokerClock = field(default_factory=BrokerClock)
    away: str | None = None

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send records; on return all are acknowledged. Raises KafkaError, and TooLargeForBrokerError."""
        try:
            sent = [
                await self.producer.send(topic, value, key=key, headers=list(headers), partition=partition)
                for topic, value, key, headers, partition in records
            ]
            for future in sent:
                await future
        except MessageSizeTooLargeError as error:
            raise TooLargeForBrokerError(
                "the broker refuses events as too large (`max.message.bytes` of the topic)"
            ) from error


@dataclass(slots=True)
class _LocalSource:
    """A source in this process."""

    _name: str
    _intake: SourceIntake

    async def file(self, content: bytes, made: int) -> IntakeResult:
        return await self._intake.take(content, made, now_ms(), dead_letters=False, current=True)

    async def retract(self) -> IntakeResult:
        if not self._intake.source.owns:
            raise click.ClickException("the source does not remember what its records stated: nothing to take back")
        return await self._intake.retract_all(now_ms())

    async def sync(self, request: PullRequest, observe: Observer) -> list[StreamReport]:
        return await SourcePull(self._name, self._intake, PullClocks(now_ms, now_ms)).run(request, observe)


class _SourceAnswer(msgspec.Struct):
    """What `ingest` answers."""

    events: int
    rejected: int
    skipped: dict[str, int] = {}
    unchanged: int = 0
    refusals: list[Refusal] = []


class _IngestProblem(msgspec.Struct):
    detail: str = ""


_Body = TypeVar("_Body")


@dataclass(slots=True)
class _HttpSource:
    """A source that the running `ingest` has."""

    _client: httpx.AsyncClient
    _path: str

    @classmethod
    @asynccontextmanager
    async def connect(cls, chosen: Settings, name: str) -> "AsyncIterator[_HttpSource]":
        """Access through the `ingest` at the configured address."""
        url = f"http://{chosen.ingest_http}"
        token_file = chosen.ingest_token_file or chosen.token_file
        token = None if token_file is None else read_token(token_file)
        async with async_client(url, timeout=_ANSWER_SECONDS, token=token, base_url=url) as client:
            yield cls(client, SOURCES_PATH.format(name=name))

    async def file(self, content: bytes, made: int) -> IntakeResult:
        return await self._post(f"{self._path}/-/file", content, time=str(made))

    async def retract(self) -> IntakeResult:
        return await self._post(f"{self._path}/-/retract", b"")

    async def sync(self, request: PullRequest, observe: Observer) -> list[StreamReport]:
        chosen = {"full": request.full, "confirm_empty": request.confirm_empty}
        query = {name: "1" for name, is_set in chosen.items() if is_set}
        try:
            path = f"{self._path}/-/sync"
            async with self._client.stream("POST", path, params=query, extensions=STREAMED) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refusal(response)
                async for text in lines(response):
                    line = msgspec.json.decode(text, type=PullLine)
                    if line.progress is not None:
                        observe(line.progress)
                    if line.error is not None:
                        raise PullError(line.error)
                    if line.reports is not None:
                        return line.reports
        except TRANSPORT_ERRORS as error:
            raise self._away(error) from error
        raise click.ClickException(f"{self._where}, ended its answer early: read its log")

    @property
    def _where(self) -> str:
        return f"the `ingest` at {self._client.base_url}, which has the owner index of the sources"

    def _away(self, error: Exception) -> click.ClickException:
        return click.ClickException(
            f"{self._where}, does not answer: {explain(error)}; compare the setting `ingest_http`, or stop the process "
            "that uses the index"
        )

    def _refusal(self, response: httpx.Response) -> click.ClickException:
        detail = _read(response, _IngestProblem).detail
        return click.ClickException(f"{self._where}, answered {response.status_code}: {detail}")

    async def _post(self, path: str, content: bytes, **query: str) -> IntakeResult:
        try:
            response = await self._client.post(path, content=content, params=query)
        except TRANSPORT_ERRORS as error:
            raise self._away(error) from error
        if response.status_code == 422:
            raise UnknownShapeError(_read(response, _IngestProblem).detail)
        if response.status_code != 200:
            raise self._refusal(response)
        answered = _read(response, _SourceAnswer)
        return IntakeResult(
            events=answered.events,
            skipped=Counter(answered.skipped),
            rejected=answered.rejected,
            refusals=answered.refusals,
            unchanged=answered.unchanged,
        )


def _read(response: httpx.Response, shape: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(response.content, type=shape)
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{response.url} is no `ingest`: {error}") from error
