"""The table of everything that `doctor` can find: one list for the command, its JSON and the docs."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Severity(IntEnum):
    """How bad a finding is; a larger number is worse."""

    OK = 0
    INFO = 1
    WARNING = 2
    ERROR = 3
    CRITICAL = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """The check that finds it, its severity, what it means, and what to do."""

    check: str
    severity: Severity
    meaning: str
    do: str


_INFO, _WARNING, _ERROR, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.CRITICAL


class Problem(Enum):
    """Everything that can be found. A name never changes its meaning: scripts read it."""

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
        "The host is there and nothing listens at the port.",
        "Start the broker, or correct host and port: the setting `brokers`, or the broker's `advertised.listeners`.",
    )
    BROKER_TIMEOUT = Entry(
        "broker",
        _CRITICAL,
        "No answer in time: host down, a firewall that drops, or a broker that hangs.",
        "Look at the host, the network between, and the broker's log.",
    )
    BROKER_TLS = Entry(
        "broker",
        _CRITICAL,
        "The TLS handshake failed: an unknown CA, another host name, an expired certificate, or a listener without "
        "TLS.",
        "Compare `ssl_ca_file` with the CA of the broker's certificate and its names with the setting `brokers`; make "
        "sure that `security_protocol` is the listener's.",
    )
    BROKER_SASL = Entry(
        "broker",
        _CRITICAL,
        "The broker refused the user, the password or the mechanism.",
        "Compare `sasl_username`, `sasl_password` and `sasl_mechanism` with the user on the broker.",
    )
    BROKER_PROTOCOL = Entry(
        "broker",
        _CRITICAL,
        "Something listens and does not answer as Kafka does with this `security_protocol`.",
        "Compare `security_protocol` with the listener's: a client without TLS at a TLS listener looks like this.",
    )
    BROKER_LOST = Entry(
        "broker",
        _CRITICAL,
        "The connection failed in another way.",
        "Look at the network between and at the broker's log.",
    )
    TOPICS_MISSING = Entry(
        "topics",
        _CRITICAL,
        "A topic does not exist, or the user that asks may not see it.",
        "Check `topic_prefix`, the names of the topics and the user's access rules; then `eval-alignment topics "
        "apply`. A ledger that was there before is lost data: see exit code 84 in docs/exit-codes.md.",
    )
    TOPICS_PARTITIONS = Entry(
        "topics",
        _CRITICAL,
        "The sources, the ledger and the tallies do not have one number of partitions.",
        "Somebody added partitions, and P cannot change. Stop the producers of the topic; `export`, then `load` under "
        "a new prefix.",
    )
    TOPICS_SETTING = Entry(
        "topics",
        _WARNING,
        "A setting of a topic is not as the table wants it. An error for `cleanup.policy` and "
        "`message.timestamp.type`: they decide what is kept and what is accepted.",
        "Set it on the broker (`kafka-configs --alter`) to what docs/topics.md says.",
    )
    KEY_MISSING = Entry(
        "producers",
        _ERROR,
        "Events come without a key; they become dead letters.",
        "Have the producer send the item's bytes as the key, and send these events again.",
    )
    KEY_MISMATCH = Entry(
        "producers",
        _ERROR,
        "The key is not the item; such events become dead letters.",
        "Have the producer send the item's bytes, and nothing else, as the key, and send these events again.",
    )
    MISROUTED = Entry(
        "producers",
        _ERROR,
        "Events stand in another partition than murmur2 of their key gives.",
        "Set the producer's partitioner to Kafka's default (librdkafka: `partitioner=murmur2_random`), then "
        "`dlq requeue --reason misrouted`.",
    )
    NO_WORKER = Entry(
        "workers",
        _CRITICAL,
        "No worker is in the consumer group.",
        "Start the workers. When they end again and again: the last line of their log, and docs/exit-codes.md.",
    )
    REBALANCING = Entry(
        "workers",
        _WARNING,
        "The group is changing its assignment; meanwhile nothing is processed.",
        "Run doctor again in a minute. When it stays: workers that come and go, see their logs.",
    )
    PARTITION_STALE = Entry(
        "workers",
        _ERROR,
        "A partition was not closed for longer than its owner ever waits.",
        "See the checks `workers`, `worker` and `circuit_breaker`: nobody owns it, or its owner is stuck. Restart that worker.",
    )
    LEDGER_IDS = Entry(
        "workers",
        _ERROR,
        "The partitions carry different ledger ids: part of the ledger was made anew.",
        "Stop the workers and find out which topic was made anew. Restore it, or `export` and `load` under another "
        "prefix.",
    )
    POLICIES = Entry(
        "workers",
        _WARNING,
        "The workers count under different policies, or under another than the settings say.",
        "Set `policy` alike for all workers and for doctor, then restart the workers.",
    )
    INPUT_LOST = Entry(
        "lag",
        _CRITICAL,
        "Events were deleted from a source topic before a worker read them, or the topic was made anew.",
        "Raise the topic's retention. docs/exit-codes.md, code 85, says how to go on.",
    )
    LAG = Entry(
        "lag",
        _WARNING,
        "Events wait, and they do not get fewer.",
        "When commits move: add workers, up to one per partition. When they do not: see the check `commits`.",
    )
    LAG_FALLS = Entry(
        "lag",
        _INFO,
        "Events wait, and they get fewer.",
        "Wait. When it takes too long, add workers, up to one per partition.",
    )
    COMMITS_FROZEN = Entry(
        "commits",
        _ERROR,
        "Events wait in a partition and its committed offset does not move.",
        "No worker owns the partition (`workers`), its worker restores or is paused by the circuit breaker (`worker`, `circuit_breaker`), or "
        "it hangs: restart it.",
    )
    TALLIES_DIFFER = Entry(
        "recount",
        _CRITICAL,
        "The published tallies of a partition are not the recount of its ledger.",
        "Restart the worker that owns it: it counts anew and publishes what differs. Keep its log and report it: this "
        "must never happen.",
    )
    LEDGER_SHORT = Entry(
        "recount",
        _CRITICAL,
        "The ledger ends before the position that its tallies were made from: rows were lost.",
        "Restore the topic. docs/exit-codes.md, code 84, says how to go on without.",
    )
    LEDGER_UNREADABLE = Entry(
        "recount",
        _CRITICAL,
        "A record of the ledger or of the tallies is none of ours.",
        "Find out who writes to these topics; only workers may. docs/exit-codes.md, code 86.",
    )
    CLAIM_PARTITIONS = Entry(
        "recount",
        _CRITICAL,
        "The ledger was claimed with another number of partitions than the topics have now.",
        "P cannot change for a prefix: `export`, then `load` under a new prefix.",
    )
    WORKER_UNREACHABLE = Entry(
        "worker",
        _ERROR,
        "A worker's HTTP server does not answer.",
        "Start the worker, or say where it is: `--worker-url`, once for each. Its log says why it ended.",
    )
    WORKER_REFUSES = Entry(
        "worker",
        _WARNING,
        "A worker's HTTP server refuses us or answers something else.",
        "Set `token_file` and `allowed_hosts` as the worker has them, and make sure that the address is a worker's.",
    )
    WORKER_STALLED = Entry(
        "worker",
        _CRITICAL,
        "A worker's `/healthz` asks for a restart.",
        "Restart it.",
    )
    WORKER_NOT_READY = Entry(
        "worker",
        _ERROR,
        "A worker processes nothing now; it says why.",
        "While it joins or restores: wait, its log counts the rows. For a broker that is away see `broker`, for the "
        "circuit breaker see `circuit_breaker`.",
    )
    AUDIT_MISMATCH = Entry(
        "worker",
        _CRITICAL,
        "A worker's own audit found tallies that are not the fold of the ledger.",
        "Restart that worker: it counts anew. Keep its log, which names the tallies, and report it.",
    )
    CIRCUIT_BREAKER_OPEN = Entry(
        "circuit_breaker",
        _CRITICAL,
        "A flood of bad events has paused a worker.",
        "Mend the producer that its log names and restart the worker, or restart it with `--circuit-breaker off` to send the bad "
        "events to the dead letters.",
    )
    VIEW_UNREACHABLE = Entry(
        "view",
        _ERROR,
        "The view's HTTP server does not answer: no page, no API, no gauges.",
        "Start the view, or say where it is: `--view-url`. Its log says why it ended.",
    )
    VIEW_REFUSES = Entry(
        "view",
        _WARNING,
        "The view's HTTP server refuses us or answers something else.",
        "Set `token_file` and `allowed_hosts` as the view has them, and make sure that the address is a view's.",
    )
    VIEW_NOT_READY = Entry(
        "view",
        _WARNING,
        "The view has not caught up with the topics since its start.",
        "Wait. When it stays, its log says what it waits for.",
    )
    VIEW_STALE = Entry(
        "view",
        _ERROR,
        "What the view serves is old: a partition was not closed lately, or the view does not read.",
        "See `broker`, `workers` and `clock`. When these are well, the view's log.",
    )
    SINK_FAILS = Entry(
        "view",
        _WARNING,
        "A sink of the view did not finish a pass for a minute: store, gauges, history or topic.",
        "The view's log says why; a full disk and a locked store are the usual causes.",
    )
    SERIES_SUPPRESSED = Entry(
        "view",
        _WARNING,
        "The cap on series keeps gauges out.",
        "Set `criterion_metrics` to the pairs that mean something, or raise `series_limit`.",
    )
    VERSIONS_DIFFER = Entry(
        "versions",
        _WARNING,
        "Workers, view and this command are not of one release.",
        "Finish the roll-out: workers first, then the view.",
    )
    CLOCK_SKEW = Entry(
        "clock",
        _WARNING,
        "Two clocks differ by more than 2 seconds; an error from 10 seconds, when fresh states look stale.",
        "Have all machines keep their clocks by NTP.",
    )
    DEAD_LETTERS = Entry(
        "dead-letters",
        _WARNING,
        "Events were rejected in the last 24 hours.",
        "`dlq ls` and `dlq show` say which and why, docs/reasons.md what each reason means; after the fix `dlq "
        "requeue`.",
    )
    DEAD_LETTER_FOREIGN = Entry(
        "dead-letters",
        _WARNING,
        "The topic of dead letters holds records that are none.",
        "Find out who else writes to this topic.",
    )
    PROMETHEUS_UNREACHABLE = Entry(
        "prometheus",
        _ERROR,
        "Prometheus does not answer its API: no alert reaches anybody.",
        "Start it, or correct `--prometheus`.",
    )
    RULES_MISSING = Entry(
        "prometheus",
        _ERROR,
        "Prometheus has no alert whose name begins with `EvalAlignment`.",
        "Name our rule files under `rule_files` of its configuration and reload it.",
    )
    RULES_BROKEN = Entry(
        "prometheus",
        _ERROR,
        "A rule of ours cannot be evaluated.",
        "Prometheus' page `/rules` shows the error; reload the files of this release.",
    )
    TARGETS_MISSING = Entry(
        "prometheus",
        _ERROR,
        "Prometheus scrapes no process of ours.",
        "Add workers and view to its scrape configuration, with the token when one is set.",
    )
    TARGETS_DOWN = Entry(
        "prometheus",
        _ERROR,
        "Prometheus cannot scrape a target of ours.",
        "Start what is at that address, or correct address and token in the scrape configuration.",
    )
    ALERTS_FIRE = Entry(
        "prometheus",
        _INFO,
        "Alerts of ours are firing.",
        "Each has a runbook.",
    )
    ALERTMANAGER_MISSING = Entry(
        "alertmanager",
        _ERROR,
        "Prometheus has no Alertmanager: alerts fire and nobody hears.",
        "Name it under `alerting` of Prometheus' configuration.",
    )
    ALERTMANAGER_UNREACHABLE = Entry(
        "alertmanager",
        _ERROR,
        "Alertmanager does not answer.",
        "Start it, or correct `--alertmanager`.",
    )
    DISK_FULL = Entry(
        "disk",
        _WARNING,
        "The file system of the data directory has less than 1 GiB left, or less than its store's size; an error "
        "below 200 MiB.",
        "Make room. The view serves its last good state meanwhile, and nothing is lost.",
    )
