"""Every private name that the worker uses of Faust, mode, aiokafka and Python, and what it relies on.

When a test here fails after an upgrade: read the new source, change streams/kafka, streams/ledger/log.py,
streams/worker.py and tests/integration/streams/worker_process.py to match, run tests/integration/streams on a real
Apache Kafka, and only then change the pinned version.
"""

import ast
import importlib
import inspect
import re
from importlib.metadata import version
from typing import Any

import pytest

HINT = "see the docstring of this file for what to do"

PINNED = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

# Module, name, and a line of the source that must still exist (empty: the name is enough).
USED = [
    # aiokafka: fetched responses and their record batches
    ("aiokafka.consumer.fetcher:Fetcher.__init__", "self._records = collections.OrderedDict()"),
    ("aiokafka.consumer.fetcher:Fetcher.__init__", "self._subscriptions = subscriptions"),
    ("aiokafka.consumer.fetcher:Fetcher.__init__", "self._wait_consume_future = None"),
    ("aiokafka.consumer.fetcher:Fetcher._notify", "if future is not None and not future.done():"),
    ("aiokafka.consumer.fetcher:Fetcher._create_fetch_waiter", "self._fetch_waiters.add(fut)"),
    ("aiokafka.consumer.fetcher:Fetcher.fetched_records", "if not self._subscriptions.is_assigned(tp):"),
    ("aiokafka.consumer.fetcher:FetchResult.check_assignment", "position != self._partition_records.next_fetch_offset"),
    ("aiokafka.consumer.fetcher:FetchResult._update_position", "state.consumed_to("),
    ("aiokafka.consumer.fetcher:FetchResult.has_more", "return self._partition_records is not None"),
    ("aiokafka.consumer.fetcher:FetchError.check_raise", "raise self._error"),
    ("aiokafka.consumer.fetcher:PartitionRecords.__init__", "self.next_fetch_offset = fetch_offset"),
    ("aiokafka.consumer.fetcher:PartitionRecords.__init__", "self._records = records"),
    ("aiokafka.consumer.fetcher:PartitionRecords.__init__", "self._aborted_transactions = sorted("),
    ("aiokafka.consumer.fetcher:PartitionRecords.__init__", "self._aborted_producers = set()"),
    ("aiokafka.consumer.fetcher:PartitionRecords.__init__", "self._isolation_level = isolation_level"),
    ("aiokafka.consumer.fetcher:PartitionRecords._unpack_records", "next_batch.validate_crc()"),
    ("aiokafka.consumer.fetcher:PartitionRecords._unpack_records", "self.next_fetch_offset = next_batch.next_offset"),
    ("aiokafka.consumer.fetcher:PartitionRecords._consume_aborted_up_to", "if first_offset <= batch_offset:"),
    ("aiokafka.consumer.fetcher:PartitionRecords._contains_abort_marker", "ABORT_MARKER"),
    ("aiokafka.consumer.subscription_state:SubscriptionState.reassignment_in_progress", "_reassignment_in_progress"),
    ("aiokafka.consumer.subscription_state:SubscriptionState.fetch_context", ""),
    ("aiokafka.consumer.subscription_state:TopicPartitionState.__init__", "self.highwater = None"),
    ("aiokafka.consumer.subscription_state:TopicPartitionState.__init__", "self.lso = None"),
    ("aiokafka.consumer.subscription_state:TopicPartitionState.has_valid_position", ""),
    ("aiokafka.consumer.subscription_state:TopicPartitionState.position", "return self._position"),
    ("aiokafka.consumer.fetcher:Fetcher._proc_fetch_request", "records = MemoryRecords(part_data[-1])"),
    ("aiokafka.consumer.fetcher:Fetcher._proc_fetch_request", "if records.has_next():"),
    ("aiokafka.consumer.fetcher:Fetcher._proc_fetch_request", "elif records.size_in_bytes() > 0:"),
    ("aiokafka.consumer.fetcher:Fetcher._proc_fetch_request", "now_ms = int(1000 * time.time())"),
    ("aiokafka.consumer.fetcher:Fetcher._proc_fetch_request", "tp_state.timestamp = now_ms"),
    # aiokafka: a batch that is being built
    ("aiokafka.producer.producer:AIOKafkaProducer.__init__", "self._message_accumulator = MessageAccumulator("),
    ("aiokafka.producer.message_accumulator:MessageAccumulator._append_batch", "self._batch_ttl, self._linger_time)"),
    ("aiokafka.producer.message_accumulator:MessageBatch.expired", "> self._ttl"),
    ("aiokafka.producer.message_accumulator:BatchBuilder.__init__", "self._builder = DefaultRecordBatchBuilder("),
    ("aiokafka.producer.message_accumulator:BatchBuilder.append", "metadata = self._builder.append("),
    ("aiokafka.producer.message_accumulator:BatchBuilder.record_count", "return self._relative_offset"),
    ("aiokafka.producer.message_accumulator:BatchBuilder._build", "self._buffer = self._builder.build()"),
    # aiokafka: a produce request without records
    ("aiokafka.client:AIOKafkaClient.send", ""),
    ("aiokafka.cluster:ClusterMetadata.partitions_for_topic", ""),
    ("aiokafka.cluster:ClusterMetadata.leader_for_partition", ""),
    ("aiokafka.protocol.produce:ProduceRequest.__init__", ""),
    # aiokafka: a request in a version that the broker may not have
    ("aiokafka.protocol.api:Request.prepare", "raise NotImplementedError("),
    # aiokafka: a commit with a retention
    ("aiokafka.admin.client:AIOKafkaAdminClient._send_request", "node_id: int | None = None,"),
    ("aiokafka.protocol.commit:OffsetCommitRequest.build", "self._retention_time,"),
    # aiokafka: the brokers that a client knows
    ("aiokafka.client:AIOKafkaClient.__init__", "self.cluster = ClusterMetadata("),
    ("aiokafka.client:AIOKafkaClient.__init__", "self._retry_backoff = retry_backoff_ms / 1000"),
    ("aiokafka.client:AIOKafkaClient._metadata_update", "async def _metadata_update(self, cluster_metadata, topics):"),
    ("aiokafka.client:AIOKafkaClient._md_synchronizer", "await self._metadata_update(self.cluster, topics)"),
    ("aiokafka.producer.producer:AIOKafkaProducer.__init__", "self.client = AIOKafkaClient("),
    ("aiokafka.consumer.consumer:AIOKafkaConsumer.__init__", "self._client = AIOKafkaClient("),
    ("aiokafka.admin.client:AIOKafkaAdminClient.__init__", "self._client = AIOKafkaClient("),
    # aiokafka: the coordinator
    ("aiokafka.consumer.group_coordinator:GroupCoordinator.check_errors", "self._coordination_task.result()"),
    ("aiokafka.consumer.group_coordinator:GroupCoordinator.reset_generation", "self.generation = "),
    ("aiokafka.consumer.group_coordinator:NoGroupCoordinator.check_errors", ""),
    ("aiokafka.consumer.consumer:AIOKafkaConsumer.__init__", "self._subscription = SubscriptionState("),
    ("aiokafka.consumer.consumer:AIOKafkaConsumer.start", "self._fetcher = Fetcher("),
    ("aiokafka.consumer.consumer:AIOKafkaConsumer.start", "self._coordinator = GroupCoordinator("),
    # Faust: the consumer and its thread
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.getmany", "self._fetch_records,"),
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer", "self._assignor = "),
    ("faust.transport.drivers.aiokafka:Consumer._to_message", "return ConsumerMessage("),
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_consumer", "_create_worker_consumer(transport)"),
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._ensure_consumer", "return self._consumer"),
    ("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._commit", "await self.crash(exc)"),
    ("faust.transport.drivers.aiokafka:Consumer._new_consumer_thread", ""),
    ("faust.transport.consumer:Consumer.getmany", "yield tp, to_message(tp, record)"),
    ("faust.transport.consumer:Consumer._drain_messages", "if r_offset is None or offset >= r_offset:"),
    ("faust.transport.consumer:Consumer.perform_seek", "read_offset = self._read_offset"),
    ("faust.transport.consumer:Consumer.perform_seek", "self._committed_offset.update(committed_offsets)"),
    ("faust.tables.recovery:Recovery._resume_streams", "consumer.perform_seek()"),
    ("faust.tables.recovery:Recovery.on_recovery_completed", "consumer.perform_seek()"),
    ("faust.transport.consumer:Consumer._add_gap", ""),
    ("faust.transport.consumer:Consumer._commit_tps", "self._filter_committable_offsets(tps)"),
    ("faust.transport.consumer:Consumer._filter_committable_offsets", "offset = self._new_offset(tp)"),
    ("faust.transport.consumer:Consumer._should_commit", "offset > committed"),
    ("faust.transport.consumer:Consumer.force_commit", "self._filter_tps_with_pending_acks(topics)"),
    ("faust.transport.consumer:Consumer._commit_offsets", "self._committed_offset.update(committable_offsets)"),
    ("faust.transport.consumer:Consumer._commit_tps", "return await self._commit_offsets("),
    ("faust.transport.consumer:ThreadDelegateConsumer._commit", "self._thread.commit(offsets)"),
    ("faust.transport.consumer:Consumer.maybe_wait_for_commit_to_finish", "if self._commit_fut is not None:"),
    ("faust.transport.consumer:Consumer.on_stop", "await self.wait_empty()"),
    ("faust.transport.consumer:ThreadDelegateConsumer._getmany", "self._thread.getmany(active_partitions, timeout)"),
    # Faust: the app
    ("faust.app.base:App._on_partitions_revoked", "T(self._consumer_wait_empty)(consumer, on_timeout)"),
    ("faust.app.base:App._stop_consumer", "await self._consumer_wait_empty(consumer, self.log)"),
    ("faust.app.base:App._new_transport", ""),
    ("faust.app.base:App._create_directories", ""),
    ("faust.app.base:App.transport", "self._transport = self._new_transport()"),
    ("faust.app.base:BootStrategy._should_enable_kafka_producer", "return self.enable_kafka_producer"),
    ("faust.tables.recovery:Recovery._resume_streams", "await app.on_rebalance_complete.send()"),
    ("faust.tables.recovery:Recovery._resume_streams", "consumer.perform_seek(), timeout"),
    ("faust.tables.manager:TableManager.on_start", "await self._update_channels()"),
    ("faust.tables.manager:TableManager.on_start", "await self.recovery.start()"),
    ("faust.topics:Topic._compile_decode", "self.schema.compile("),
    ("faust.serializers.schemas:Schema.compile", "schema_loads_value = self.loads_value"),
    ("faust.worker:Worker.on_startup_finished", ""),
    # mode
    ("mode.services:Service.crash", "child._crash(reason)"),
    ("mode.services:Service._crash", "self.crash_reason = reason"),
    ("mode.threads:QueueServiceThread.call_thread", ""),
    ("mode.worker:Worker.default_on_first_start", "if self.override_logging:"),
    ("mode.worker:Worker.default_on_first_start", "self.install_signal_handlers()"),
    # Python: what counts in C (aggregator/cells.py)
    ("collections:Counter.update", "_count_elements(self, iterable)"),
]


@pytest.mark.parametrize(("package", "pinned"), PINNED.items())
def test_the_installed_version_is_the_one_that_was_read(package: str, pinned: str) -> None:
    assert version(package) == pinned, HINT


@pytest.mark.parametrize(("where", "line"), USED)
def test_a_private_name_still_means_what_we_rely_on(where: str, line: str) -> None:
    module, _, path = where.partition(":")
    attribute: Any = importlib.import_module(module)
    for name in path.split("."):
        assert hasattr(attribute, name), f"{where} is gone: {HINT}"
        attribute = inspect.getattr_static(attribute, name)
    code: Any = attribute.fget if isinstance(attribute, property) else attribute
    assert line in inspect.getsource(inspect.unwrap(code)), f"{where} has changed: {HINT}"


USERS = (
    "worker",
    "kafka.client",
    "kafka.batches",
    "kafka.group",
    "kafka.record_limits",
    "kafka.topic_metadata",
    "ledger.log",
    "kafka.transport",
)
_PRIVATE = re.compile(r"(?<![\w])_[a-z]\w*")


@pytest.mark.parametrize("user", USERS)
def test_no_private_name_is_used_that_is_not_listed(user: str) -> None:
    """A name that the module does not define itself is private to another package."""
    tree = ast.parse(inspect.getsource(importlib.import_module(f"streams.{user}")))
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    defined = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    defined |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    listed = set(_PRIVATE.findall(" ".join(f"{where} {line}" for where, line in USED)))
    foreign = {name for name in read - defined if _PRIVATE.fullmatch(name)}
    assert foreign <= listed, f"list them in USED with what is relied on: {sorted(foreign - listed)}"


def test_the_stream_drops_what_another_generation_fetched() -> None:
    compiled = importlib.import_module("faust._cython.streams")
    assert compiled.StreamIterator is not None, HINT
    source = inspect.getsource(importlib.import_module("faust.streams").Stream._py_aiter)
    assert "message.generation_id != self.app.consumer_generation_id" in source, HINT
