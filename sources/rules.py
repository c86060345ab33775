"""The settings of one source: what the names, scales, labels and queues of a tool mean."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from aggregator.facts import MAX_TAGS, TAG_NAME, Direction, Level

Role = Literal["human", "judge"]
RecordField = Literal[
    "id", "item", "level", "at", "queue", "criterion", "rating", "explanation", "expected", "annotator", "metric",
    "score", "verdict", "threshold", "judge", "reason",
]  # fmt: skip
"""Fields that a record of CSV or JSON may have."""
WebhookScheme = Literal["standard", "langfuse", "mlflow", "shared"]
"""How the sender of a webhook is verified; see `ingest.signatures`."""

_TagRuleName = Annotated[str, StringConstraints(pattern=f"^{TAG_NAME}$")]
_TagRulePath = Annotated[str, StringConstraints(min_length=1)]


class _RuleTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _as_written(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was set, under the names of the settings."""
        values, fields = serialize(self), type(self).model_fields
        return {fields[name].alias or name: values[name] for name in fields if name in self.model_fields_set}


def _check_distinct(**labels: tuple[str, ...]) -> None:
    """Raise ValueError if two of the settings have a label in common."""
    for (name, some), (other, more) in combinations(labels.items(), 2):
        if both := {*some} & {*more}:
            raise ValueError(f"{min(both)!r} is in `{name}` and in `{other}`")


class LabelThumbs(_RuleTable):
    """Labels that are thumbs."""

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(up=self.up, down=self.down)
        return self


class NumberThumbs(_RuleTable):
    """Numbers that are thumbs: up from `pass_at` on, or with direction `lower` down to it."""

    pass_at: float
    direction: Direction = "higher"


def _scale(value: Any) -> Any:
    """One model for each form, so that an error is about the form that was meant."""
    if isinstance(value, dict):
        return NumberThumbs(**value) if "pass_at" in value else LabelThumbs(**value)
    if value not in ("stars", "thumbs") and not isinstance(value, LabelThumbs | NumberThumbs):
        raise ValueError('must be "stars", "thumbs", { up = [...], down = [...] } or { pass_at = NUMBER }')
    return value


RatingScale = Literal["stars", "thumbs"] | LabelThumbs | NumberThumbs


class RatingRule(_RuleTable):
    """What the ratings under one name of the tool mean."""

    rating: Annotated[RatingScale | None, BeforeValidator(_scale)] = None
    """The scale: stars from 1 to 5, thumbs (1 or true is up), labels, or numbers from which on it is up."""
    criterion: str | None = None
    """Name of the criterion, where it is not the tool's."""


class JudgeRule(_RuleTable):
    """What the results of a judge under one name of the tool mean."""

    model_config = ConfigDict(populate_by_name=True)

    threshold: float | None = None
    """Score from which on it is a pass, where the tool has none; wins over the tool's."""
    direction: Direction | None = None
    """`lower` where a low score is good; by default as the tool reports, else `higher`."""
    passes: tuple[str, ...] = Field((), alias="pass")
    """Labels that are a pass; those of booleans are `true` and `false`."""
    fails: tuple[str, ...] = Field((), alias="fail")
    """Labels that are a fail."""
    errors: tuple[str, ...] = Field((), alias="error")
    """Labels of an evaluation that failed."""
    judge: str | None = None
    """Judge version, where the tool reports none, or another is wanted."""
    metric: str | None = None
    """Name of the metric, where it is not the tool's."""
    value: str | None = None
    """Path of the score or label, where the tool's value is an object."""
    reason: str | None = None
    """Path of the explanation, where the tool's value is an object."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _check_distinct(**{"pass": self.passes, "fail": self.fails, "error": self.errors})
        return self


class SourceSettings(_RuleTable):
    """A source: a tool, and what its records mean."""

    tool: str
    """The tool: one of those that [sources](sources.md) lists."""
    id_prefix: str = Field("", max_length=64)
    """What ids of events begin with; empty: the tool's name."""
    queue: str | None = None
    """Queue of annotations whose own queue has no entry in `queues`."""
    queues: Mapping[str, str] = {}
    """Queue by the tool's id or name of it."""
    item: str | None = None
    """Where the item is: a path into the record, a column, or a word of the tool such as `trace`."""
    item_tag: str | None = None
    """Key of the tag whose value is the item, for a tool that joins by tags."""
    thread: str | None = None
    """Path of the thread, for records about a whole conversation."""
    level: Level | None = None
    """What the items are, where the tool does not report it."""
    explanation: tuple[str, ...] = ()
    """Names of a form's text answers that explain its ratings."""
    input: str | None = Field(None, min_length=1)
    """JMESPath of what the application received, in the record as it came; a column of a table."""
    output: str | None = Field(None, min_length=1)
    """JMESPath, or column, of what the application answered."""
    url_path: str | None = Field(None, min_length=1)
    """JMESPath, or column, of the address of the item in the tool."""
    tags: Mapping[_TagRuleName, _TagRulePath] = Field({}, max_length=MAX_TAGS)
    """JMESPath, or column, by the name of the tag."""
    roles: Mapping[str, Role] = {}
    """Who judges, by the tool's word for it."""
    corrections: bool = False
    """Whether the correction of a judge is an annotation. People correct mostly what is wrong."""
    predictions: bool = False
    """Whether predictions are evaluations."""
    columns: Mapping[RecordField, str] = {}
    """Column, or path into a record, by field of the event."""
    records: str | None = None
    """JMESPath of the list of records."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between the cells of a table; by default it is recognised."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of the numbers in a table."""
    criteria: Mapping[str, RatingRule] = {}
    """Rules by the tool's name of what people rate."""
    metrics: Mapping[str, JudgeRule] = {}
    """Rules by the tool's name of what judges score."""
    url: str | None = None
    """Base address of the tool, for pulls; by default that of its hosted service."""
    project: str | None = Field(None, min_length=1)
    """The tool's id or name of the project whose records are pulled."""
    experiments: tuple[str, ...] = ()
    """The tool's ids of the experiments whose records are pulled."""
    credentials_file: Path | None = None
    """TOML file with credentials for pulls, under the names of the variables that the tool's own SDK reads."""
    interval_s: float = Field(60.0, ge=1, le=86_400)
    """Seconds between two pulls of recent records."""
    lookback_days: int = Field(30, ge=1, le=3_650)
    """Days back to which a sweep looks for records that changed or vanished."""
    sweep_interval_s: float = Field(3_600.0, ge=1, le=7 * 86_400)
    """Seconds between two sweeps."""
    secret_file: Path | None = None
    """File with the secrets of its webhooks, one per line. A webhook that has one needs no token."""
    scheme: WebhookScheme | None = None
    """How a webhook shows that it has the secret; by default as the tool does."""
    secret_header: str | None = Field(None, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
    """With the scheme `shared`: header with the secret, as it is or after `Bearer`; by default that of the tool."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http or https address without query and fragment")
        if parts.username or parts.password:
            raise ValueError("must have no user name and no password: use `credentials_file`")
        return url.rstrip("/")

    @property
    def item_paths(self) -> Mapping[str, str]:
        """The paths of `input`, `output`, `url_path` and `tags.NAME` that are set, by these names."""
        paths = {"input": self.input, "output": self.output, "url_path": self.url_path}
        paths |= {f"tags.{name}": path for name, path in self.tags.items()}
        return {name: path for name, path in paths.items() if path is not None}

    @property
    def prefix(self) -> str:
        """What the ids of this source's events begin with."""
        return self.id_prefix or self.tool
