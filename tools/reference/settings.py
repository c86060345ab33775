"""docs/settings.md: every setting with type, default and meaning."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from tomllib import loads
from typing import Any, Final, Literal, get_args, get_origin

import orjson
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX
from eval_alignment.settings import Settings
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
    if get_origin(annotation) in (list, dict):
        return f"{'list' if get_origin(annotation) is list else 'table'} of {_type(arguments[-1])}"
    if arguments:
        return _type(arguments[0])
    if issubclass(annotation, Enum):
        return code(member.value for member in annotation)
    return "table of " + code(annotation.model_fields)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        value = field.get_default(call_default_factory=True, validated_data={})
        # A text that a factory returns differs between machines.
        return "host name" if isinstance(value, str) else f"`{orjson.dumps(value).decode()}`"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in (None, ""):
        return "none"
    if isinstance(value, Enum | Path):
        return f"`{getattr(value, 'value', value)}`"
    return f"`{value}`" if isinstance(value, str) else f"`{orjson.dumps(value).decode()}`"
