"""Requests for sources: `POST /api/v1/sources/{name}` takes the webhooks of tools.

Paths that begin with `-/` are for the command: a file, or an end of what a source said.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypedDict

import msgspec
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aggregator.facts import LATEST_AT, Fact
from ingest.acknowledge import acknowledged, away
from ingest.body import BodyReader
from ingest.clock import BrokerClock
from ingest.config import IngestConfig
from ingest.limits import LARGE_BYTES, TURN, Budget, Reservation
from ingest.media import refuse_web_pages
from ingest.metrics import IngestMetrics
from ingest.parts import has_too_many_parts, too_many_parts
from ingest.publish import TooLargeForBrokerError
from ingest.source_access import SOURCES_PREFIX, SourceAccess
from sources.intake.dead_letter_budget import TooManyRejectedError
from sources.intake.intake import Delivery, IntakeResult, SourceIntake
from sources.intake.store import IndexStore
from sources.records import Malformed, SkipReason, UnknownShapeError
from sources.source import EventRejection
from streams.events.decoder import KIND_OF, Rejection
from streams.events.encoder import encode_event
from streams.events.example import example
from streams.events.reasons import Reason
from streams.events.rejection_log import RejectionLog
from streams.kafka.dead_letters import RejectedBody, compose_body, left_out
from streams.kafka.producer import Outgoing
from streams.kafka.topics import Topics

_log = logging.getLogger(__name__)

SOURCES_PATH: Final = f"{SOURCES_PREFIX}{{name}}"
_TIME: Final = re.compile(r"[0-9]{1,15}")


class RecordPublisher(Protocol):
    """Where records of Kafka go."""

    clock: BrokerClock

    @property
    def away(self) -> str | None:
        """Why nothing can be published; None when it can."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send records; on return all are acknowledged. Raises NotAcknowledgedError."""


class RecordsAnswer(TypedDict):
    """What became of the records of a request for a source."""

    events: int
    """Number of events that the broker has acknowledged."""
    skipped: dict[str, int]
    """How many records, or parts of them, became no event, by reason."""
    rejected: int
    """Number of events and records that are dead letters."""


@dataclass(frozen=True, slots=True)
class KafkaDelivery:
    """Sends what the records of a source became."""

    name: str
    """Name of the source."""
    publisher: RecordPublisher
    topics: Topics
    keeps_oversized: bool = True
    """Whether an event that the broker refuses as too large becomes a dead letter: the source would send it first for
    ever, and nothing else. Otherwise it is an error."""
    rejections: RejectionLog | None = None
    """Logs the dead letters."""

    async def __call__(self, delivery: Delivery) -> list[Fact]:
        """Send the events to their topics, and what is rejected to the dead letters. Raises NotAcknowledgedError.

        Returns the events that are dead letters instead, because the broker refuses them as too large.
        """
        topics = {kind: topic for topic, kind in self.topics.sources.items()}
        records: list[Outgoing] = []
        for index, fact in enumerate(delivery.facts, 1):
            if index % TURN == 0:
                # A request of OTLP may have hundreds of thousands.
                await asyncio.sleep(0)
            records.append(Outgoing(topics[KIND_OF[type(fact)]], encode_event(fact), fact.item.encode()))
        received = self.publisher.clock.now()
        for outcome in delivery.rejected:
            match outcome.result:
                case EventRejection(rejection, value):
                    records.append(self.dead_letter(value, rejection, received))
                case Malformed(why, value):
                    rejection = Rejection(Reason.UNKNOWN_SHAPE, f"{why} (record {outcome.native!r})")
                    records.append(self.dead_letter(value, rejection, received))
        refused = {id(record) for record in await self._send(records)}
        return [fact for fact, record in zip(delivery.facts, records, strict=False) if id(record) in refused]

    async def _send(self, records: Sequence[Outgoing]) -> list[Outgoing]:
        """Send records; returns those in whose place a dead letter was sent."""
        try:
            await self.publisher.publish(records)
        except TooLargeForBrokerError:
            if not self.keeps_oversized:
                raise
            if len(records) > 1:
                middle = len(records) // 2
                return [*await self._send(records[:middle]), *await self._send(records[middle:])]
            [record] = records
            if record.value is None:
                raise
            await self._send([self._smaller(record, record.value)])
            return [record]
        return []

    def _smaller(self, record: Outgoing, value: bytes) -> Outgoing:
        """What is sent in place of a record that is too large: its dead letter, and that without the value."""
        if record.topic == self.topics.dead_letters:
            return record._replace(value=None, headers=[*record.headers, *left_out("value", value)])
        size, setting = f"{len(value):,} bytes", f"`max.message.bytes` of {record.topic}"
        why = f"the broker refuses the event of {size} as too large ({setting})"
        _log.error("source %s: %s: it becomes a dead letter", self.name, why)
        return self.dead_letter(value, Rejection(Reason.OVERSIZED, why), self.publisher.clock.now())

    async def reject(self, value: bytes, rejection: Rejection, received: int) -> None:
        """Send the dead letter of something that came for this source. Raises NotAcknowledgedError."""
        await self._send([self.dead_letter(value, rejection, received)])

    def dead_letter(self, value: bytes, rejection: Rejection, received: int) -> Outgoing:
        """The dead letter of something that came for this source."""
        if self.rejections is not None:
            self.rejections.note(f"source={self.name}", 1, example(f"source {self.name}", rejection, value))
        letter = compose_body(RejectedBody(self.name, received, value, rejection))
        # Each partition of that topic is read by whoever reads dead letters; the first one always exists.
        return Outgoing(self.topics.dead_letters, letter.value, letter.key, letter.headers, partition=0)


def open_intakes(
    config: IngestConfig, publisher: RecordPublisher, store: IndexStore | None, rejections: RejectionLog | None = None
) -> dict[str, SourceIntake]:
    """The intake of every source that this process runs: all, or without a store those that remember nothing."""
    return {
        name: SourceIntake(
            source,
            KafkaDelivery(name, publisher, config.topics, rejections=rejections),
            None if store is None else store.index(source.rules.settings.prefix),
        )
        for name, source in config.sources.items()
        if store is not None or not source.owns
    }


class SourceHandlers:
    """Handles the requests for sources.

    Args:
        config: the sources.
        intakes: of the sources that this process runs.
        publisher: takes dead letters.
        metrics: counts what sources become.
        budget: of the bytes in flight.
        access: verifies who sends a webhook.
    """

    def __init__(
        self,
        config: IngestConfig,
        intakes: Mapping[str, SourceIntake],
        publisher: RecordPublisher,
        metrics: IngestMetrics,
        budget: Budget,
        *,
        access: SourceAccess,
    ) -> None:
        self._config = config
        self._access = access
        self._intakes = intakes
        self._publisher = publisher
        self._metrics = metrics
        self._budget = budget
        limits = config.limits.of_sources()
        self._bodies = BodyReader(limits, metrics.bytes.inc)
        # Room for the largest webhook, and as much for those who have shown who they are.
        share = max(limits.body_bytes, limits.in_flight_bytes // 2)
        self._unverified = Budget(share, within=budget)
        self._unverified_turn = asyncio.Lock()
        """Anybody may send a webhook whose signature is wrong: unpacking many together would keep threads from others.
        """

    async def pushed(self, request: Request) -> Response:
        """A webhook, or a request of an SDK that is redirected to a source."""
        name, path = request.path_params["name"], request.path_params.get("path", "")
        refuse_web_pages(request.headers)
        unverified = self._access.admit(request, name)
        intake = self._intake(name)
        received = self._publisher.clock.now()
        with Reservation(self._budget if unverified is None else self._unverified) as reservation:
            if unverified is None:
                body = await self._bodies.read(request, reservation)
            else:
                body = await self._bodies.read(request, reservation, self._unverified_turn)
                async with self._unverified_turn:
                    await self._access.verify(unverified, request, name, body)
            await _require_parts(body)
            with acknowledged(reservation):
                try:
                    taken = await intake.take(body, received, self._publisher.clock.now())
                except UnknownShapeError as error:
                    if path and not isinstance(error, TooManyRejectedError):
                        # SDKs send all that they have to one address.
                        taken = IntakeResult()
                        taken.skipped[SkipReason.NOT_AN_EVALUATION.value] = 1
                    else:
                        await self._reject(name, body, str(error), received)
                        raise HTTPException(422, self._unknown_shape(name, str(error))) from error
        self.count(name, taken)
        return Response(orjson.dumps(answer(taken)), media_type="application/json")

    async def file(self, request: Request) -> Response:
        """A file of the command `load --source`; `time` in the query is when it was made, in milliseconds.

        What is rejected is in the answer, and becomes no dead letter.
        """
        refuse_web_pages(request.headers)
        name = request.path_params["name"]
        intake, made = self._intake(name), request.query_params.get("time", "")
        if not _TIME.fullmatch(made) or int(made) > LATEST_AT:
            raise HTTPException(
                400, "the query needs `time`, when the file was made, in milliseconds since 1970, before the year 10000"
            )
        clock = self._publisher.clock.now()
        with Reservation(self._budget) as reservation:
            body = await self._bodies.read(request, reservation)
            await _require_parts(body)
            with acknowledged(reservation):
                try:
                    taken = await intake.take(body, int(made), clock, dead_letters=False, current=True)
                except UnknownShapeError as error:
                    raise HTTPException(422, self._unknown_shape(name, str(error))) from error
        self.count(name, taken)
        return Response(
            msgspec.json.encode({**answer(taken), "unchanged": taken.unchanged, "refusals": taken.refusals}),
            media_type="application/json",
        )

    async def retract(self, request: Request) -> Response:
        """Takes back everything that a source said."""
        refuse_web_pages(request.headers)
        name = request.path_params["name"]
        intake = self._intake(name)
        if not intake.source.owns:
            raise HTTPException(
                422, f"source {name!r} does not remember what its records said, so nothing can be taken back"
            )
        with Reservation(self._budget) as reservation, acknowledged(reservation):
            taken = await intake.retract_all(self._publisher.clock.now())
        self.count(name, taken)
        return Response(orjson.dumps(answer(taken)), media_type="application/json")

    def count(self, name: str, taken: IntakeResult) -> None:
        """Count what records of a source became."""
        self._metrics.source_events.labels(name).inc(taken.events)
        self._metrics.source_rejected.labels(name).inc(taken.rejected)
        for reason, count in taken.skipped.items():
            self._metrics.source_skipped.labels(name, reason).inc(count)
        for unruled, count in taken.unruled.items():
            self._metrics.count_unruled(name, unruled.name, count)

    def _intake(self, name: str) -> SourceIntake:
        """The intake of a source.

        Raises HTTPException: 404 for an unknown one; 503 for one that runs elsewhere, while its index
        is made, and while the broker is away.
        """
        if (reason := self._publisher.away) is not None:
            raise away(reason)
        if (intake := self._intakes.get(name)) is not None:
            if intake.not_made is not None:
                raise away(intake.not_made)
            return intake
        if name not in self._config.sources:
            known = ", ".join(sorted(self._config.sources)) or "none"
            raise HTTPException(404, f"unknown source {name!r}: the sources in the settings are {known}")
        raise HTTPException(
            503,
            f"source {name!r} remembers what its records said, and this process runs with `--sources none`: send to "
            "the one that runs the sources",
        )

    async def _reject(self, name: str, body: bytes, why: str, received: int) -> None:
        delivery = KafkaDelivery(name, self._publisher, self._config.topics, rejections=self._metrics.rejections)
        await delivery.reject(body, Rejection(Reason.UNKNOWN_SHAPE, why), received)
        self._metrics.source_rejected.labels(name).inc()

    def _unknown_shape(self, name: str, why: str) -> str:
        source = self._config.sources[name]
        return (
            f"the body is not data of {source.tool.title}: {why}; compare the setting `tool` of source {name!r} with "
            "what sends this"
        )


async def _require_parts(body: bytes) -> None:
    """Raise HTTPException (413) for a body with more parts than are read."""
    if len(body) > LARGE_BYTES and await asyncio.to_thread(has_too_many_parts, body):
        raise too_many_parts()


def answer(taken: IntakeResult) -> RecordsAnswer:
    """What became of a request's records."""
    return RecordsAnswer(events=taken.events, skipped=dict(taken.skipped), rejected=taken.rejected)
