"""`config`: shows the settings."""

import os
import tomllib
from pathlib import Path

import click
import orjson
from rich.table import Table
from rich.text import Text

from eval_alignment import settings
from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX
from eval_alignment.render import output_console
from eval_alignment.terminal_text import printable


@click.group()
def config() -> None:
    """Inspect the settings."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with value and source by setting.")
def show(*, as_json: bool) -> None:
    """Show each setting with its value and its source. Secrets are masked."""
    chosen = settings.load()
    # The JSON form of a secret is asterisks.
    values = chosen.model_dump(mode="json")
    sources = _sources()
    if as_json:
        shown = {name: {"value": value, "source": sources[name]} for name, value in values.items()}
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value in values.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        source = sources[name]
        table.add_row(name, Text(printable(text)), source, style="dim" if source == "default" else "")
    output_console().print(table)


def _sources() -> dict[str, str]:
    """The source of each setting. The settings are loaded already, so their file is valid."""
    environment = {name.upper() for name in os.environ}
    path = os.environ.get(CONFIG_VARIABLE)
    in_file = tomllib.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    sources = {}
    for name in settings.Settings.model_fields:
        if f"{ENVIRONMENT_PREFIX}{name.upper()}" in environment:
            sources[name] = "environment"
        else:
            sources[name] = "file" if name in in_file else "default"
    return sources
