"""Arguments of `dlq`."""

import pytest
from click.testing import CliRunner

from eval_alignment.commands.dlq import dlq
from streams.requeue import DeadLetters


@pytest.mark.parametrize("arguments", [[], ["--all", "t:0:1"], ["t:0"], ["t:0:-1"], ["--reason", "unheard_of"]])
def test_wrong_calls_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(dlq, ["requeue", *arguments], standalone_mode=False)
    assert type(result.exception).__name__ in ("UsageError", "BadParameter")


@pytest.mark.parametrize("command", ["show", "requeue"])
def test_every_command_takes_the_identity_that_ls_prints(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval_alignment.commands.dlq._read", lambda _, **__: DeadLetters([], [], 0, {}))
    result = CliRunner().invoke(dlq, [command, "events:v1:0:7"])
    assert (result.exit_code, "events:v1:0:7" in result.stderr) == (1, True)
    assert CliRunner().invoke(dlq, [command, "events:0"]).exit_code == 2
