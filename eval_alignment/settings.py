"""All settings in one class. Command line wins over environment, environment over TOML file, file over default.

Each field is a setting: `EVAL_ALIGNMENT_POLICY` in the environment, `policy = "latest"` in the file. Lists and tables
are JSON in the environment. docs/settings.md is generated from the descriptions.
"""

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from aggregator.day_tallies import MAX_TALLIES
from aggregator.facts import TAG_NAME
from aggregator.policy import Policy
from aggregator.ratings import DEFAULT_PASS_STARS
from aggregator.statistics.gate import GateLimits, Looks
from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, OTHERS
from eval_alignment.setting_checks import address, path_problems, template_problems, topic_problems
from sinks.connections import LOOPBACK_NETWORKS, is_network
from sources.registry import source_problems
from sources.rules import SourceSettings
from streams.events.decoder import MetricDefaults
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.keep import SLACK_DAYS, WAIT_DAYS
from streams.runtime.secret_files import read_secret_file

_LIMITS = GateLimits()
Fraction = Annotated[float, Field(ge=0, le=1)]


class SettingsError(EvalAlignmentError):
    """Invalid settings. The message has a line per problem, and never a value of a secret."""

    exit_code = ExitCode.USAGE

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(("invalid settings:", *problems)))
        self.problems = problems


class MetricSettings(BaseModel):
    """Threshold and direction of one metric, for evaluations without them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    threshold: float | None = None
    direction: Literal["higher", "lower"] = "higher"

    def defaults(self) -> MetricDefaults:
        """These defaults in the form that the decoder takes."""
        return MetricDefaults(self.threshold, self.direction)


class Settings(BaseSettings):
    """All settings of an installation. An installation is one project and one trust domain."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=None,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    # Kafka
    brokers: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, `host:port`, separated by commas.")
    topic_prefix: str = Field("", description="Prefix of every topic name. A new prefix is a new installation.")
    topic_annotations: str = Field("alignment.annotations.v1", description="Topic of annotations.")
    topic_evaluations: str = Field("alignment.evaluations.v1", description="Topic of evaluations.")
    topic_queue_items: str = Field("alignment.queue-items.v1", description="Topic of queue items.")
    topic_facts: str = Field("alignment.facts.v1", description="Topic of the ledger.")
    topic_tallies: str = Field("alignment.tallies.v1", description="Topic of tallies.")
    topic_snapshots: str = Field("alignment.snapshots.v1", description="Topic of snapshot documents.")
    topic_dead_letters: str = Field("alignment.dead-letters.v1", description="Topic of dead letters.")
    partitions: int = Field(
        8,
        ge=1,
        le=1024,
        description="Number of partitions of the sources, the ledger and the tallies. It cannot change later.",
    )
    replication_factor: int = Field(
        0, ge=0, le=16, description="Replicas of every topic. 0 means 3, or the number of brokers if that is lower."
    )
    group: str = Field(
        "", description="Consumer group of the workers. Default: the topic prefix followed by `eval-alignment`."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol of the connection to Kafka."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, for a SASL protocol."
    )
    sasl_username: str = Field("", description="SASL user name.")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password. Never shown.")
    sasl_password_file: Path | None = Field(
        None, description="File with the SASL password, instead of `sasl_password`. Surrounding white space is ignored."
    )
    ssl_ca_file: Path | None = Field(
        None, description="CA certificates (PEM) to verify the brokers' certificates. Default: the system's CAs."
    )
    ssl_certificate_file: Path | None = Field(None, description="Client certificate (PEM), for mutual TLS.")
    ssl_key_file: Path | None = Field(None, description="Private key of the client certificate (PEM).")

    # What counts
    policy: Policy = Field(
        Policy.EACH,
        description="`each` compares every annotation. Per queue, item and criterion, `latest` compares the newest, "
        "and `majority` the lower median of all. After a change, the workers recount everything at their next start.",
    )
    pass_stars: int = Field(
        DEFAULT_PASS_STARS,
        ge=1,
        le=5,
        description="Lowest star rating that is a pass. A change applies to stored annotations too.",
    )
    pass_stars_by_criterion: dict[str, Annotated[int, Field(ge=1, le=5)]] = Field(
        default_factory=dict, description="Lowest star rating that is a pass, by criterion, if it is not `pass_stars`."
    )
    criterion_metrics: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Metrics that are meaningful for a criterion, by criterion. Other comparisons of that criterion "
        "are marked `off_topic`; a criterion without an entry is compared with all metrics. A change applies to stored "
        "rows too.",
    )
    metrics: dict[str, MetricSettings] = Field(
        default_factory=dict,
        description="Default `threshold` and `direction` by metric, for evaluations without them. A change does not "
        "apply to stored rows.",
    )
    future_limit_ms: int = Field(
        300_000,
        ge=0,
        description="Milliseconds that `at` may be ahead of the broker's timestamp. Later events are rejected.",
    )
    gate_items: int = Field(
        _LIMITS.items, ge=1, description="Minimum number of distinct items; with fewer the gate is `undecided`."
    )
    gate_trusted_low: Fraction = Field(_LIMITS.trusted_low, description="Minimum `gate_low` for `trusted`.")
    gate_trusted_tnr: Fraction = Field(_LIMITS.trusted_tnr, description="Minimum true negative rate for `trusted`.")
    gate_probation_low: Fraction = Field(_LIMITS.probation_low, description="Minimum `gate_low` for `probation`.")
    gate_looks: Looks = Field(
        _LIMITS.looks,
        description="`many`: the gate is read after any label, so its bounds hold at all looks together; `one`: it is "
        "read once, on a fixed data set, and takes the Wilson interval.",
    )
    gate_half_width: float = Field(
        _LIMITS.half_width,
        gt=0,
        lt=0.5,
        description="Half width of the interval that `labels_needed` aims for.",
    )

    # Worker
    name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Name of a worker, such as its host or pod name. Unique, and the same after every restart.",
    )
    worker_http: str = Field(
        "127.0.0.1:8391", description="Address at which a worker serves `/metrics`, `/healthz` and `/readyz`."
    )
    circuit_breaker: bool = Field(
        True, description="Pause on a flood of invalid events instead of sending them all to the dead-letter topic."
    )
    pseudonyms_key_file: Path | None = Field(
        None,
        description="File with a key of at least 16 bytes: workers replace the names of annotators by keyed hashes. "
        "Set it before the first start; another key, or none, needs a new `topic_prefix`.",
    )
    audit_interval_s: float = Field(
        60.0,
        ge=0,
        description="Seconds between audits. An audit folds the ledger of one owned partition again and compares the "
        "result with its tallies. It needs memory for one more partition. 0 disables audits.",
    )
    accept_loss: bool = Field(
        False,
        description="Start although events or ledger rows were lost. For one start, after reading docs/exit-codes.md.",
    )
    wait_days: int = Field(
        WAIT_DAYS,
        ge=1,
        le=365,
        description="Days that an evaluation waits, on the worker's disk, for an annotation or a queue item of its "
        f"item. The evaluations topic must keep its events {SLACK_DAYS} days longer. The same for all workers.",
    )
    max_tallies: int = Field(
        MAX_TALLIES,
        ge=10_000,
        description="Most tallies of one partition, and a quarter of the verdicts of judges in them. A partition with "
        "more is put in quarantine, so that a worker with little memory goes on with its others.",
    )

    # View
    http: str = Field("127.0.0.1:8390", description="Address at which the view serves page, API and `/metrics`.")
    data_dir: Path = Field(
        Path("eval-alignment-data"),
        description="Directory of the view's store, of the owner index of ingest's sources, and of a worker's waiting "
        "evaluations.",
    )
    publish: bool = Field(True, description="Publish snapshot documents. With several views, enable it in one.")
    snapshot_history_count: int = Field(1000, ge=1, description="Number of snapshot documents to keep per queue.")
    snapshot_history_days: int = Field(90, ge=1, description="Number of days to keep snapshot documents.")
    series_limit: int = Field(
        10_000,
        ge=100,
        description="Maximum number of agreement series that the view exports, in equal shares for all queues. What is "
        "left out is counted in a metric, and named in the log.",
    )
    expose_judge_version: bool = Field(
        False, description="Also export comparisons by judge version, with the version as label `judge`."
    )
    segment_gauges: list[Annotated[str, Field(pattern=f"^{TAG_NAME}$")]] = Field(
        [], description="Names of tags: also export alignment by their values, within `series_limit`."
    )
    alternative_epsilon: Fraction = Field(
        0.2, description="How much worse than a person a metric may be in the alternative annotator test, as a share."
    )
    show_annotators: bool = Field(
        False,
        description="Show agreement, strictness and alignment of single annotators, with their names. Ask them first.",
    )
    public_badges: bool = Field(
        False,
        description="Serve the badges of queues (`badge.svg`) without a token. Who knows or guesses the name of a "
        "queue then sees its alignment.",
    )
    item_url: str = Field(
        "",
        description="http or https URL template for items without `url`, with the placeholders `{item}` and `{level}`.",
    )
    queue_url: str = Field(
        "", description="http or https URL template of a queue in the annotation tool, with the placeholder `{queue}`."
    )

    # Ingest
    ingest_http: str = Field("127.0.0.1:8389", description="Address at which `ingest` takes events over HTTP.")
    ingest_token_file: Path | None = Field(
        None,
        description="File with the tokens of who may send events: `NAME TOKEN` per line, at least 32 bytes each. "
        "Default: `token_file`.",
    )
    ingest_body_bytes: int = Field(
        8 << 20, ge=1 << 10, le=1 << 30, description="Largest body of a request in bytes, after decompression."
    )
    ingest_source_body_bytes: int = Field(
        64 << 20,
        ge=1 << 10,
        le=1 << 30,
        description="Largest body of a request for a source in bytes, after decompression.",
    )
    ingest_events: int = Field(10_000, ge=1, le=1_000_000, description="Maximum number of events in a request.")
    ingest_in_flight_bytes: int = Field(
        128 << 20,
        ge=1 << 10,
        description="Bytes of all requests that are not answered, or whose events the broker has not acknowledged. "
        "Above it, requests are refused with 429. The process needs about four times as much memory.",
    )
    ingest_body_timeout_s: float = Field(30.0, gt=0, description="Seconds in which the body of a request must arrive.")
    ingest_acknowledge_timeout_s: float = Field(
        15.0,
        gt=0,
        description="Seconds in which the broker must acknowledge the events of a request. After them the response is "
        "503.",
    )

    # Sources
    ingest_sources: Literal["all", "none"] = Field(
        "all",
        description="`none`: `ingest` runs no source that remembers what its records said; only one process may. "
        "Events and OTLP are taken by every `ingest`.",
    )
    sources: dict[str, SourceSettings] = Field(
        default_factory=dict,
        description="Tools whose records become events, by a name of your choice: `tool`, and what its names, scales "
        "and queues mean.",
    )

    # Serving
    token_file: Path | None = Field(
        None,
        description="File with the token of the HTTP servers, at least 32 bytes. Required for a bind beyond loopback.",
    )
    allow_open_bind: bool = Field(
        False,
        description="Allow a bind beyond loopback without a token. Only in a network that is protected otherwise.",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names that clients may use for the HTTP servers, in addition to loopback.",
    )
    keep_alive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description="Seconds that the HTTP servers keep an idle connection open. Longer than a proxy in front of them "
        "does, which is 60 by default in most.",
    )
    connections_per_address: int = Field(
        100,
        ge=1,
        description="Maximum number of connections to one HTTP server from one address; IPv6 addresses with the same "
        "first 64 bits count together.",
    )
    proxy_addresses: list[str] = Field(
        list(LOOPBACK_NETWORKS),
        description="Addresses and networks (CIDR) of proxies in front of the HTTP servers. `connections_per_address`, "
        "and the limits of one address on requests and streams of the view, do not apply to them, since they send the "
        "requests of many clients.",
    )
    prometheus_url: str = Field("", description="Address of Prometheus, for `doctor`.")
    alertmanager_url: str = Field("", description="Address of Alertmanager, for `doctor`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged; for libraries at least info."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto",
        description="Log format of worker and view: a line of text or a JSON object per record. `auto` is text when "
        "standard error is a terminal, else JSON; the log files of `up` are text.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            problems.append("sasl_username is required with a SASL protocol")
        if self.sasl_password_file is not None and self.sasl_password.get_secret_value():
            problems.append("sasl_password and sasl_password_file: only one can be given")
        if (self.ssl_certificate_file is None) != (self.ssl_key_file is None):
            problems.append("ssl_certificate_file and ssl_key_file must be set together")
        names = [self.topic(role) for role in TOPIC_ROLES]
        if len(set(names)) != len(names):
            problems.append("two topics have the same name")
        problems += topic_problems(
            self.topic_prefix, {name: getattr(self, name) for name in (f"topic_{role}" for role in TOPIC_ROLES)}
        )
        problems += [
            f"ingest_in_flight_bytes must be at least {body}"
            for body in ("ingest_body_bytes", "ingest_source_body_bytes")
            if self.ingest_in_flight_bytes < getattr(self, body)
        ]
        addresses = [(field, getattr(self, field)) for field in ("http", "worker_http", "ingest_http")]
        for field, text in [*addresses, *(("brokers", broker) for broker in self.brokers.split(","))]:
            try:
                address(text)
            except ValueError as error:
                problems.append(f"{field}: {error}")
        problems += [
            f"proxy_addresses: {network!r} is not an address or a network such as 10.1.0.0/16"
            for network in self.proxy_addresses
            if not is_network(network)
        ]
        problems += template_problems("item_url", self.item_url, "item", "level")
        problems += template_problems("queue_url", self.queue_url, "queue")
        paths = dict(self)
        for name, source in self.sources.items():
            paths |= {f"sources.{name}.{field}": value for field, value in source}
        problems += path_problems(paths)
        problems += source_problems(self.sources)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file over defaults."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get(CONFIG_VARIABLE):
            sources = (*sources, TomlConfigSettingsSource(settings_cls, Path(path)))
        return sources

    def topic(self, role: str) -> str:
        """Full name of the topic with this role (one of `TOPIC_ROLES`)."""
        name: str = getattr(self, f"topic_{role}")
        return self.topic_prefix + name

    def password(self) -> str:
        """The SASL password, from its file if one is set. Raises SettingsError when the file cannot be read."""
        if self.sasl_password_file is None:
            return self.sasl_password.get_secret_value()
        try:
            return read_secret_file(self.sasl_password_file).decode().strip()
        except (OSError, ValueError) as error:
            # A decoding error would show bytes of the secret.
            why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", str(error))
            raise SettingsError(f"sasl_password_file: cannot read {self.sasl_password_file}: {why}") from None

    def limits(self) -> GateLimits:
        """Limits of the gate."""
        return GateLimits(
            items=self.gate_items,
            trusted_low=self.gate_trusted_low,
            trusted_tnr=self.gate_trusted_tnr,
            probation_low=self.gate_probation_low,
            half_width=self.gate_half_width,
            looks=self.gate_looks,
        )


TOPIC_ROLES = ("annotations", "evaluations", "queue_items", "facts", "tallies", "snapshots", "dead_letters")


def load(**given: Any) -> Settings:
    """Load the settings; `given` are options of the command line, None where absent.

    Raises SettingsError with all problems together.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE}
    problems = [
        f"{name}: unknown setting"
        for name in sorted(os.environ)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not name.startswith(OTHERS)
    ]
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors(include_input=False, include_url=False)]
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: {error}")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    else:
        if path and not Path(path).is_file():
            problems.append(f"{CONFIG_VARIABLE}: {path} is not a file")
        if not problems:
            return settings
    raise SettingsError(*problems)


def _problem(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
