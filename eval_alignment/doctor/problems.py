"""All problems that `doctor` can report: one table for the command, its JSON and the docs."""

from dataclasses import dataclass
from enum import Enum

from eval_alignment.doctor.severity import Severity


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything about a problem except its name."""

    check: str
    """Name of the check that reports it."""
    severity: Severity
    meaning: str
    action: str
    """What the operator does."""


_INFO, _WARNING, _ERROR, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.CRITICAL


class Problem(Enum):
    """All problems. Scripts read the names, so a name keeps its meaning."""

    BROKER_NAME = Entry(
        "broker",
        _CRITICAL,
        "A broker's host name cannot be resolved.",
        "Correct the setting `brokers` or the name service. For an advertised address: correct the broker's "
        "`advertised.listeners`.",
    )
    BROKER_REFUSED = Entry(
        "broker",
        _CRITICAL,
        "The host answers, but nothing listens at the port.",
        "Start the broker, or correct host and port: the setting `brokers`, or the broker's `advertised.listeners`.",
    )
    BROKER_TIMEOUT = Entry(
        "broker",
        _CRITICAL,
        "No response in time: the host is down, a firewall drops packets, or the broker hangs.",
        "Check the host, the network, and the broker's log.",
    )
    BROKER_TLS = Entry(
        "broker",
        _CRITICAL,
        "The TLS handshake failed: unknown CA, wrong host name, expired certificate, or a listener without TLS.",
        "Compare `ssl_ca_file` with the CA of the broker's certificate, and the certificate's names with `brokers`. "
        "`security_protocol` must be that of the listener.",
    )
    BROKER_SASL = Entry(
        "broker",
        _CRITICAL,
        "The broker rejected the user, the password or the mechanism.",
        "Compare `sasl_username`, `sasl_password` and `sasl_mechanism` with the user on the broker.",
    )
    BROKER_PROTOCOL = Entry(
        "broker",
        _CRITICAL,
        "The server at this port does not speak Kafka's protocol with this `security_protocol`.",
        "Compare `security_protocol` with the listener's. A client without TLS at a TLS listener looks like this.",
    )
    BROKER_LOST = Entry(
        "broker",
        _CRITICAL,
        "The connection failed for another reason.",
        "Check the network and the broker's log.",
    )
    TOPICS_MISSING = Entry(
        "topics",
        _CRITICAL,
        "A topic does not exist, or the user of `doctor` may not describe it.",
        "Check `topic_prefix`, the names of the topics and the user's access rules; then run `eval-alignment topics "
        "apply`. If the ledger existed before, data is lost: see exit code 84 in docs/exit-codes.md.",
    )
    TOPICS_PARTITIONS = Entry(
        "topics",
        _CRITICAL,
        "Sources, ledger and tallies differ in their number of partitions.",
        "Partitions were added, but their number cannot change. Stop the producers of the topic and follow "
        'docs/operations.md, "Partitions were added".',
    )
    TOPICS_SETTING = Entry(
        "topics",
        _WARNING,
        "A topic setting differs from docs/topics.md. Error for `cleanup.policy` and `message.timestamp.type`, and for "
        "the retention of evaluations, which decide which records are kept and accepted.",
        "Correct it on the broker: `topics apply` prints the command.",
    )
    KEY_MISSING = Entry(
        "producers",
        _ERROR,
        "Events without a key arrive and become dead letters.",
        "Configure the producer to send the bytes of the item as key, then send these events again.",
    )
    KEY_MISMATCH = Entry(
        "producers",
        _ERROR,
        "Events whose key is not their item arrive and become dead letters.",
        "Configure the producer to send exactly the bytes of the item as key, then send these events again.",
    )
    MISROUTED = Entry(
        "producers",
        _ERROR,
        "Events are not in the partition that murmur2 of their key selects.",
        "Set the producer's partitioner to Kafka's default (librdkafka: `partitioner=murmur2_random`), then run "
        "`dlq requeue --reason misrouted`.",
    )
    RECORDS_UNREADABLE = Entry(
        "producers",
        _WARNING,
        "The bytes of record batches cannot be read. The worker made one dead letter of each, without the records.",
        "Find the producer by topic and time. If the batch is too large after decompression, send smaller ones; else "
        "the producer writes bytes that no Kafka client should write. Then send the events again.",
    )
    NAMES_ALIKE = Entry(
        "names",
        _INFO,
        "Names differ only in case, blanks, hyphens, underscores or invisible characters. They are counted apart.",
        "If they mean the same, correct the producer and send the events again under one name.",
    )
    SCALES_MIXED = Entry(
        "scales",
        _WARNING,
        "A judge version has several thresholds, or a metric has scores on two scales: its numbers mix them.",
        "Send a new `judge` with a new threshold, and another `metric` with another scale.",
    )
    NO_WORKER = Entry(
        "workers",
        _CRITICAL,
        "The consumer group has no members.",
        "Start the workers. If they keep ending, read the last line of their logs and docs/exit-codes.md.",
    )
    REBALANCING = Entry(
        "workers",
        _WARNING,
        "The group is rebalancing; until then no events are processed.",
        "Run `doctor` again in a minute. If it repeats, workers join and leave the group: read their logs.",
    )
    PARTITION_STALE = Entry(
        "workers",
        _ERROR,
        "A partition has had no checkpoint marker for more than 15 s.",
        "No worker owns it, or its owner is stuck: see the checks `workers`, `worker` and `circuit_breaker`. Restart "
        "that worker.",
    )
    EVENTS_WAIT = Entry(
        "workers",
        _ERROR,
        "Events of a partition have waited for more than 15 s, although its worker writes checkpoint markers.",
        "The finding has the cause: see `circuit_breaker`, or `lag` for a transaction. A worker that processes nothing "
        "after its restore restarts again and again: read its log. While it catches up, wait, or add workers.",
    )
    LEDGER_IDS = Entry(
        "workers",
        _ERROR,
        "The partitions have different ledger ids: a part of the ledger was recreated.",
        "Stop the workers and find out which topic was recreated. Restore it, or run `export`, then `load` under "
        "another prefix.",
    )
    POLICIES = Entry(
        "workers",
        _WARNING,
        "The workers count under different policies, or under another policy than the settings of `doctor`.",
        "Set the same `policy` for all workers and for `doctor`, then restart the workers.",
    )
    INPUT_LOST = Entry(
        "lag",
        _CRITICAL,
        "Events were deleted from a source topic before a worker read them, or the topic was recreated.",
        "Raise the retention of the topic. To continue, see exit code 85 in docs/exit-codes.md.",
    )
    TRANSACTION_OPEN = Entry(
        "lag",
        _ERROR,
        "A producer has left a transaction open. Nobody gets its events, and those after its start, before it ends.",
        "`kafka-transactions.sh describe-producers --topic TOPIC --partition N` names the producer. Let it commit or "
        "abort, or run `kafka-transactions.sh abort`. The broker ends it after `transaction.timeout.ms`.",
    )
    LAG = Entry(
        "lag",
        _WARNING,
        "Events wait, and their number does not fall.",
        "If commits advance, add workers, up to one per partition. If they do not, see the check `commits`.",
    )
    LAG_FALLS = Entry(
        "lag",
        _INFO,
        "Events wait, and their number falls.",
        "Wait. If it takes too long, add workers, up to one per partition.",
    )
    COMMITS_FROZEN = Entry(
        "commits",
        _ERROR,
        "Events wait in a partition, but its committed offset does not advance.",
        "No worker owns the partition (see `workers`), or its worker restores (`worker`), is paused "
        "(`circuit_breaker`) or hangs: restart it.",
    )
    TALLIES_DIFFER = Entry(
        "recount",
        _CRITICAL,
        "The published tallies of a partition differ from the recount of its ledger.",
        "Restart the worker that owns it: it counts again and publishes the differences. This is a bug: report it, "
        "with the log of the worker.",
    )
    LEDGER_SHORT = Entry(
        "recount",
        _CRITICAL,
        "The ledger ends before the position of its tallies: rows were lost.",
        "Restore the topic. To continue without these rows, see exit code 84 in docs/exit-codes.md.",
    )
    LEDGER_UNREADABLE = Entry(
        "recount",
        _CRITICAL,
        "The ledger or the tallies contain an invalid record.",
        "Find out who writes to these topics; only workers may. A worker repairs the partition from its rows, or puts "
        'it in quarantine: see docs/operations.md, "Partition in quarantine".',
    )
    CLAIM_PARTITIONS = Entry(
        "recount",
        _CRITICAL,
        "The topics have another number of partitions than the claim in the ledger.",
        "The number cannot change for a prefix: run `export`, then `load` under a new prefix.",
    )
    WORKER_UNREACHABLE = Entry(
        "worker",
        _ERROR,
        "A worker's HTTP server does not answer.",
        "Start the worker, or name its address with `--worker-url`, once per worker. Its log has the exit reason.",
    )
    WORKER_REFUSES = Entry(
        "worker",
        _WARNING,
        "The server at a worker's address refuses the request, or is not a worker.",
        "Set `token_file` as for the worker, add the host name to its `allowed_hosts`, and check the address.",
    )
    WORKER_STALLED = Entry(
        "worker",
        _CRITICAL,
        "A worker is stalled: `/healthz` reports 503.",
        "Restart it.",
    )
    WORKER_NOT_READY = Entry(
        "worker",
        _ERROR,
        "A worker does not process events; the finding has its reasons.",
        "While it joins the group or restores, wait; its log has the number of rows. If the broker does not answer, "
        "see `broker`. If the circuit breaker is open, see `circuit_breaker`.",
    )
    PARTITION_QUARANTINED = Entry(
        "worker",
        _CRITICAL,
        "A worker cannot read a partition correctly, or the partition has more tallies than `max_tallies`. It "
        "processes and publishes nothing of that partition, and continues with its others.",
        "The finding names topic, partition and offset, or the item with most tallies. See docs/operations.md, "
        '"Partition in quarantine".',
    )
    AUDIT_MISMATCH = Entry(
        "worker",
        _CRITICAL,
        "The audit of a worker found tallies that differ from the fold of the ledger.",
        "Restart that worker: it counts again. This is a bug: report it, with the log, which names the tallies.",
    )
    CIRCUIT_BREAKER_OPEN = Entry(
        "circuit_breaker",
        _CRITICAL,
        "A flood of invalid events has paused a worker.",
        "`dlq peek` lists the events. Stop their producer, then restart this worker: what it has seen becomes dead "
        "letters, and valid events are counted.",
    )
    INGEST_UNREACHABLE = Entry(
        "ingest",
        _ERROR,
        "The HTTP server of ingest does not answer: senders cannot send events over HTTP.",
        "Start ingest, or name its address with `--ingest-url`. Its log has the exit reason.",
    )
    INGEST_REFUSES = Entry(
        "ingest",
        _WARNING,
        "The server at the address of ingest refuses the request, or is not an ingest.",
        "Set `ingest_token_file` as for ingest, add the host name to its `allowed_hosts`, and check the address.",
    )
    INGEST_NOT_READY = Entry(
        "ingest",
        _ERROR,
        "Ingest answers every request with 503, because it does not reach the broker or misses a source topic.",
        "See the checks `broker` and `topics`. If these are ok, compare the user of ingest and its rights with those "
        "of the workers, and read its log.",
    )
    VIEW_UNREACHABLE = Entry(
        "view",
        _ERROR,
        "The view's HTTP server does not answer: no page, no API, no gauges.",
        "Start the view, or name its address with `--view-url`. Its log has the exit reason.",
    )
    VIEW_REFUSES = Entry(
        "view",
        _WARNING,
        "The server at the view's address refuses the request, or is not a view.",
        "Set `token_file` as for the view, add the host name to its `allowed_hosts`, and check the address.",
    )
    VIEW_NOT_READY = Entry(
        "view",
        _WARNING,
        "The view has not read all topics to their ends since its start.",
        "Wait. If it stays, the log of the view has the reason.",
    )
    VIEW_STALE = Entry(
        "view",
        _ERROR,
        "The view serves old numbers: a partition has no recent checkpoint marker, or the view does not read.",
        "See the checks `broker`, `workers` and `clock`. If these are ok, read the log of the view.",
    )
    SINK_FAILS = Entry(
        "view",
        _WARNING,
        "A sink of the view (store, gauges, history or topic) has not finished a pass for a minute.",
        "The log of the view has the reason; usually a full disk or a locked store.",
    )
    SERIES_SUPPRESSED = Entry(
        "view",
        _WARNING,
        "Gauges are missing because the number of series reached `series_limit`.",
        "Set `criterion_metrics` to the meaningful pairs, or raise `series_limit`.",
    )
    VERSIONS_DIFFER = Entry(
        "versions",
        _WARNING,
        "Workers, view and this command are of different releases.",
        "Finish the rollout: workers first, then the view.",
    )
    CLOCK_SKEW = Entry(
        "clock",
        _WARNING,
        "Two clocks differ by more than 2 s. Error from 10 s on, when fresh numbers look stale.",
        "Synchronise the clocks of all machines by NTP.",
    )
    DEAD_LETTERS = Entry(
        "dead-letters",
        _WARNING,
        "Events were rejected in the last 24 hours, and are not acknowledged.",
        "`dlq ls` and `dlq show` print the events and reasons, docs/reasons.md explains the reasons. After the fix, "
        "run `dlq requeue`, then `dlq ack`.",
    )
    DEAD_LETTER_FOREIGN = Entry(
        "dead-letters",
        _WARNING,
        "The topic of dead letters contains invalid records.",
        "Find out who else writes to this topic.",
    )
    PROMETHEUS_UNREACHABLE = Entry(
        "prometheus",
        _ERROR,
        "The API of Prometheus does not answer, so no alert is sent.",
        "Start it, or correct `--prometheus`.",
    )
    RULES_MISSING = Entry(
        "prometheus",
        _ERROR,
        "Prometheus has no alert whose name begins with `EvalAlignment`.",
        "Add the rule files of this release to `rule_files` in its configuration, then reload it.",
    )
    RULES_BROKEN = Entry(
        "prometheus",
        _ERROR,
        "Prometheus cannot evaluate a rule of this product.",
        "The page `/rules` of Prometheus has the error. Load the rule files of this release.",
    )
    TARGETS_MISSING = Entry(
        "prometheus",
        _ERROR,
        "Prometheus scrapes neither workers nor view.",
        "Add workers, view and ingest to its scrape configuration, with the token if one is set.",
    )
    TARGETS_DOWN = Entry(
        "prometheus",
        _ERROR,
        "Prometheus cannot scrape a worker or the view.",
        "Start the process at that address, or correct address and token in the scrape configuration.",
    )
    ALERTS_FIRE = Entry(
        "prometheus",
        _INFO,
        "Alerts of this product are firing.",
        "See docs/runbook.md for each alert.",
    )
    ALERTMANAGER_MISSING = Entry(
        "alertmanager",
        _ERROR,
        "Prometheus has no Alertmanager, so alerts are not sent.",
        "Add it under `alerting` in the configuration of Prometheus.",
    )
    ALERTMANAGER_UNREACHABLE = Entry(
        "alertmanager",
        _ERROR,
        "An Alertmanager is not ready: the one of `--alertmanager`, or one to which Prometheus sends alerts.",
        "Start it, or correct its address, in the configuration of Prometheus or in `--alertmanager`. If only "
        "Prometheus reaches that address, name one that this machine reaches with `--alertmanager`.",
    )
    WAIT_DAYS = Entry(
        "waiting",
        _WARNING,
        "The workers, or a worker and the settings of `doctor`, have different `wait_days`.",
        "Set the same `wait_days` for all workers and for `doctor`, then restart the workers, and run `topics apply`.",
    )
    WAITING_STORE = Entry(
        "waiting",
        _ERROR,
        "A worker cannot use its store of waiting evaluations; the finding has the reason. It goes on without it.",
        "Free or mount the disk of its data directory, or stop the other process with its name. It tries again by "
        "itself, and then reads from the topic what the store lacks.",
    )
    REBUILDING = Entry(
        "waiting",
        _INFO,
        "Workers read evaluations again that their stores lack. Until then, comparisons of items that were annotated "
        "meanwhile may be missing.",
        "Wait. If it begins again with every restart, give the workers persistent data directories.",
    )
    WAITING_MISSING = Entry(
        "waiting",
        _WARNING,
        "Evaluations are lost: a store lacks them and the topic no longer has them, or a disk was nearly full. They "
        "are compared with nothing.",
        "Enlarge a full disk, or correct the retention of the topic, see the check `topics`. `load` the evaluations "
        "again if you have them: duplicates do no harm.",
    )
    WAITING_DISK = Entry(
        "waiting",
        _WARNING,
        "The disk of a worker is too small for the evaluations that wait. Error below 1 GiB, when the worker drops the "
        "oldest ones.",
        "Enlarge the disk, add workers on other machines, or set a shorter `wait_days`.",
    )
    DISK_FULL = Entry(
        "disk",
        _WARNING,
        "The file system of the data directory has less than 1 GiB free, or less than the size of the store. Error "
        "below 200 MiB.",
        "Free some space. Until then the view serves its last good state; no data is lost.",
    )
