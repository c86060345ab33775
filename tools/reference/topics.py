"""docs/topics.md: the topics with keys, settings, writers and readers."""

from streams.kafka.topics import DEFAULT_PARTITIONS, TABLE, Topics
from streams.runtime.keep import SLACK_DAYS, WAIT_DAYS
from tools.reference.markdown import document, section, table


def page() -> str:
    """The page."""
    names = Topics()
    uses = [(f"`{getattr(names, spec.role)}`", spec.meaning, spec.key, spec.written_by, spec.read_by) for spec in TABLE]
    configs = [
        (
            f"`{getattr(names, spec.role)}`",
            str(spec.partitions or "P"),
            "<br>".join(
                f"`{config}={value}`" + (" or more" if config in spec.at_least else "")
                for config, value in spec.configs.items()
            ),
        )
        for spec in TABLE
    ]
    return document(
        "Topics",
        "`eval-alignment topics apply` creates the topics with these settings, `eval-alignment topics diff` compares "
        "them with the broker's. The name of each topic is a [setting](settings.md) (`topic_annotations` and so on), "
        "and `topic_prefix` is put before all names.",
        section(
            "Contents, writers and readers",
            table(("topic", "contents", "key", "written by", "read by"), uses),
            "Your producers write to the first three topics only. [Events](events.md) describes the values and the "
            "keys. Facts and tallies belong to the workers: a record of anything else ends the worker that owns the "
            "partition once; the next start repairs it, or puts the [partition in quarantine]"
            "(operations.md#partition-in-quarantine).",
        ),
        section(
            "Partitions and settings",
            table(("topic", "partitions", "settings"), configs),
            "The sources, the ledger and the tallies have the same number of partitions, P. Everything about one "
            f"item is in the partition with the same index in all five. P is {DEFAULT_PARTITIONS} unless the setting "
            "`partitions` is another number, and cannot change for a prefix: to change it, `export` the ledger and "
            "`load` it under a new prefix. The setting `replication_factor` is the number of replicas: 0 (default) "
            "means 3, or the number of brokers if that is lower. With three or more replicas, `topics apply` also "
            "sets `min.insync.replicas=2`.",
            f"The evaluations topic has a `retention.ms` of at least `wait_days` (here {WAIT_DAYS}) and {SLACK_DAYS} "
            "days, and `retention.bytes=-1`: a worker without its disk reads from it what "
            "[waits](architecture.md#evaluations-that-wait). `topics apply` changes no topic that exists, and prints "
            "the command of Apache Kafka that does.",
        ),
        see_also=(
            "[Events](events.md)",
            "[Reject reasons](reasons.md)",
            "[Snapshot document](snapshot.md)",
            "[Operations](operations.md)",
        ),
    )
