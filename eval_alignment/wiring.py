"""Builds the arguments of each part from the settings. Loads no Kafka client: `kafka_wiring` builds that."""

from typing import Final

from aggregator.snapshot.inputs import CountingRules
from eval_alignment import __version__
from eval_alignment.environment import CONFIG_VARIABLE
from eval_alignment.settings import Settings, SettingsError
from eval_alignment.unknown_names import UnknownNameError, not_found
from sources.meaning import Rules
from sources.registry import TOOLS
from sources.source import ToolSource
from streams.events.decoder import Decoder
from streams.events.pseudonyms import LEAST_KEY_BYTES, Pseudonyms
from streams.runtime.secret_files import read_secret_file

_MAKE_KEY: Final = "Make a key once, such as with `openssl rand -hex 32`, and give all workers the same file"


def group(settings: Settings) -> str:
    """Consumer group of the workers."""
    return settings.group or f"{settings.topic_prefix}eval-alignment"


def acknowledgement_group(settings: Settings) -> str:
    """Consumer group whose committed offsets are the acknowledged dead letters. It has no members."""
    return f"{group(settings)}-dead-letters"


def decoder(settings: Settings) -> Decoder:
    """Validates events and turns them into facts."""
    metrics = {name: metric.defaults() for name, metric in settings.metrics.items()}
    return Decoder(metrics=metrics, future_ms=settings.future_limit_ms)


def pseudonyms(settings: Settings) -> Pseudonyms | None:
    """Pseudonyms of annotators, of the key in its file; None without one. Raises SettingsError for an unusable file."""
    path = settings.pseudonyms_key_file
    if path is None:
        return None
    try:
        key = read_secret_file(path).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"pseudonyms_key_file: cannot read {path}: {why}. {_MAKE_KEY}") from None
    if len(key) < LEAST_KEY_BYTES:
        few = f"has {len(key)} bytes, expected at least {LEAST_KEY_BYTES}"
        raise SettingsError(f"pseudonyms_key_file: {path} {few}. {_MAKE_KEY}")
    return Pseudonyms(key)


def counting_rules(settings: Settings) -> CountingRules:
    """Rules that apply when counts are read."""
    return CountingRules(
        pass_stars=settings.pass_stars,
        criterion_metrics=settings.criterion_metrics,
        limits=settings.limits(),
        pass_stars_by_criterion=settings.pass_stars_by_criterion,
    )


def source(settings: Settings, name: str) -> ToolSource:
    """The source with this name. Raises UnknownNameError for a name that is not configured."""
    chosen = settings.sources.get(name)
    if not settings.sources:
        missing = not_found("source", name, settings.sources)
        raise UnknownNameError(f"{missing} in the settings: does {CONFIG_VARIABLE} name the file?")
    if chosen is None:
        raise UnknownNameError(not_found("source", name, settings.sources))
    defaults = decoder(settings)
    return ToolSource(TOOLS[chosen.tool], Rules(chosen, defaults.metrics), defaults)


def partitions(settings: Settings) -> int | None:
    """The configured number of partitions; None without that setting, when existing topics decide."""
    return settings.partitions if "partitions" in settings.model_fields_set else None


def identity(settings: Settings) -> dict[str, object]:
    """Fields of the first log line of a worker or view: what runs, and where."""
    return {
        "release": __version__,
        "brokers": settings.brokers,
        "topic_prefix": settings.topic_prefix,
        "partitions": partitions(settings) or "as the topics have",
    }
