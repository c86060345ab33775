"""docs/settings.md: every setting with type, default and meaning."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import pairwise
from pathlib import Path
from tomllib import loads
from typing import Any, Final, Literal, get_args, get_origin

import orjson
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX
from eval_alignment.settings import Settings
from sources.rules import JudgeRule, RatingRule, SourceSettings
from streams.runtime.exit_codes import ExitCode
from tools.reference.markdown import code, document, fenced, section, table

_TYPE_NAMES: Final = {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path", SecretStr: "secret"}

_SECTIONS: Final = {
    "brokers": "Kafka",
    "policy": "Counting",
    "name": "Worker",
    "http": "View",
    "ingest_http": "Ingest",
    "token_file": "Access, logs and doctor",
}
"""Headings by the first setting under each."""

_CONTAINERS: Final[Mapping[Any, str]] = {list: "list", tuple: "list", dict: "table"}
_KEY_TYPES: Final = {
    "queues": "table of text",
    "roles": "table of `human`, `judge`",
    "columns": "table of text",
    "tags": "table of text",
    "criteria": "table of rules",
    "metrics": "table of rules",
    "rating": '`"stars"`, `"thumbs"`, `{ up = [...], down = [...] }`, `{ pass_at = NUMBER, direction = "lower" }`',
}
"""Types of keys of a source that are no plain values."""
_FILE: Final = """
brokers = "kafka-1:9092,kafka-2:9092"
policy = "latest"
allowed_hosts = ["alignment.example.org"]

[metrics.toxicity]
threshold = 0.1
direction = "lower"
"""


def page() -> str:
    """The page."""
    return document(
        "Settings",
        f"A setting can be given in three places. An option of a command wins over the environment variable "
        f"`{ENVIRONMENT_PREFIX}NAME`, which wins over `name = ...` in a TOML file. `--config` or `{CONFIG_VARIABLE}` "
        "names the file. Not every setting has an option: `eval-alignment COMMAND --help` lists them. In the "
        "environment, lists and tables are JSON.",
        "A file, and the same settings in the environment:",
        fenced("toml", _FILE),
        fenced("console", _environment()),
        f"Invalid settings end a command with exit code {ExitCode.USAGE.code} and one message that lists all problems. "
        "`eval-alignment config show` prints the settings in force and where each comes from.",
        *_sections(),
        *_source_sections(),
        see_also=(
            "[Deployment](deployment.md)",
            "[Security](security.md): TLS, users and tokens",
            "[Topics](topics.md)",
            "[Exit codes](exit-codes.md)",
        ),
    )


def _environment() -> str:
    """The settings of `_FILE` as the environment has them."""
    values = {
        name: part if isinstance(part, str) else orjson.dumps(part).decode() for name, part in loads(_FILE).items()
    }
    return "\n".join(f"export {ENVIRONMENT_PREFIX}{name.upper()}='{text}'" for name, text in values.items())


def _sections() -> Iterator[str]:
    rows: dict[str, list[tuple[str, ...]]] = {}
    title = ""
    for name, field in Settings.model_fields.items():
        title = _SECTIONS.get(name, title)
        kind = ", ".join(filter(None, (_type(field.annotation), _range(field))))
        rows.setdefault(title, []).append((f"`{name}`", kind, _default(field), field.description or ""))
    for title, of_section in rows.items():
        yield section(title, table(("setting", "type", "default", "meaning"), of_section))


def _source_sections() -> Iterator[str]:
    """The keys of a source and of its rules."""
    for title, intro, model in (
        (
            "Source",
            "The keys of a table `[sources.NAME]`. [Sources](sources.md) shows which of them a tool needs.",
            SourceSettings,
        ),
        ("Rule of a criterion", "The keys of a table `[sources.NAME.criteria.NAME]`.", RatingRule),
        ("Rule of a metric", "The keys of a table `[sources.NAME.metrics.NAME]`.", JudgeRule),
    ):
        meanings = _attribute_docstrings(model)
        rows = [
            (f"`{field.alias or name}`", _key_type(name, field), _default(field), meanings[name])
            for name, field in model.model_fields.items()
        ]
        yield section(title, intro, table(("key", "type", "default", "meaning"), rows))


def _key_type(name: str, field: FieldInfo) -> str:
    """The type of a key of a source in words."""
    if name in _KEY_TYPES:
        return _KEY_TYPES[name]
    return ", ".join(filter(None, (_type(field.annotation), _range(field))))


def _attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a class."""
    (body,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _range(field: FieldInfo) -> str:
    """The numbers that a setting may have."""
    bounds = {
        word: getattr(limit, name)
        for limit in field.metadata
        for name, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        if hasattr(limit, name)
    }
    if bounds.keys() == {"at least", "at most"}:
        return f"{bounds['at least']} to {bounds['at most']}"
    return ", ".join(f"{word} {bound}" for word, bound in bounds.items())


def _type(annotation: Any) -> str:
    """A setting's type in words."""
    arguments = [part for part in get_args(annotation) if part is not type(None)]
    if annotation in _TYPE_NAMES:
        return _TYPE_NAMES[annotation]
    if get_origin(annotation) is Literal:
        return code(arguments)
    if (container := _CONTAINERS.get(get_origin(annotation))) is not None:
        return f"{container} of {_type(next(part for part in reversed(arguments) if part is not ...))}"
    if arguments:
        return _type(arguments[0])
    if issubclass(annotation, Enum):
        return code(member.value for member in annotation)
    return "[source](#source)" if annotation is SourceSettings else "table of " + code(annotation.model_fields)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        value = field.get_default(call_default_factory=True, validated_data={})
        # A text that a factory returns differs between machines.
        return "host name" if isinstance(value, str) else f"`{orjson.dumps(value).decode()}`"
    value = None if field.is_required() else field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, ""):
        return "none"
    if isinstance(value, Enum | Path):
        return f"`{getattr(value, 'value', value)}`"
    return f"`{value}`" if isinstance(value, str) else f"`{orjson.dumps(value).decode()}`"
