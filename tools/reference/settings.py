"""docs/settings.md: every setting with type, default and meaning."""

from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import orjson
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX
from eval_alignment.settings import Settings
from streams.runtime.exit_codes import ExitCode
from tools.reference.markdown import code, document, table

_TYPE_NAMES: Final = {str: "text", int: "integer", float: "number", bool: "boolean", Path: "path", SecretStr: "secret"}


def page() -> str:
    """The page."""
    rows = [
        (f"`{name}`", _type(field.annotation), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return document(
        "Settings",
        f"A setting can be given in three places. An option of a command wins over the environment variable "
        f"`{ENVIRONMENT_PREFIX}NAME`, which wins over `name = ...` in a TOML file. `--config` or `{CONFIG_VARIABLE}` "
        "names the file. Not every setting has an option: `eval-alignment COMMAND --help` lists them. In the "
        "environment, lists and tables are JSON.",
        f"Invalid settings end a command with exit code {ExitCode.USAGE.code} and one message that lists all problems. "
        "`eval-alignment config show` prints the settings in force and where each comes from.",
        table(("setting", "type", "default", "meaning"), rows),
        see_also=(
            "[Deployment](deployment.md)",
            "[Security](security.md): TLS, users and tokens",
            "[Topics](topics.md)",
            "[Exit codes](exit-codes.md)",
        ),
    )


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
