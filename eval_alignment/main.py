"""The command `eval-alignment`."""

import importlib
import os
import sys
from pathlib import Path
from typing import Final

import click

from eval_alignment.environment import CONFIG_VARIABLE
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_COMMANDS = (
    "demo",
    "up",
    "worker",
    "view",
    "ingest",
    "check",
    "load",
    "export",
    "source",
    "recount",
    "report",
    "disagreements",
    "trace",
    "topics",
    "doctor",
    "dlq",
    "schema",
    "config",
)


PRIVATE: Final = 0o077
"""The umask of every command: new files have mode 0600, new directories 0700."""


class _Commands(click.Group):
    """Imports each subcommand when it is called, so that `report` loads neither Kafka nor SQLite."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The subcommands, in the order in which a new user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's
        """The subcommand with this name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"eval_alignment.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eval-alignment")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Settings file (TOML).  [environment: {CONFIG_VARIABLE}]",
)
def cli(config: Path | None) -> None:
    """Measure how well LLM judges agree with human annotators, exactly and in real time, from Kafka events.

    Settings come from options, the environment (EVAL_ALIGNMENT_...) and a TOML file; `config show` lists them.
    """
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())


def main() -> None:
    """Run the command and exit with its exit code."""
    # Stores, logs, exports and reports have texts of people, which no other user of the machine may read. Processes
    # that it starts inherit this. A file that exists keeps its mode.
    os.umask(PRIVATE)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        code = ExitCode.INTERRUPTED.code
    except click.UsageError as error:
        error.show()
        code = ExitCode.USAGE.code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except EvalAlignmentError as error:
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code.code
    sys.exit(code)


if __name__ == "__main__":
    main()
