"""Arguments of `dlq`."""

import pytest
from click.testing import CliRunner

from eval_alignment.commands.dlq import dlq


@pytest.mark.parametrize("arguments", [[], ["--all", "t:0:1"], ["t:0"], ["t:0:-1"], ["--reason", "unheard_of"]])
def test_wrong_calls_are_usage_errors(arguments: list[str]) -> None:
    result = CliRunner().invoke(dlq, ["requeue", *arguments], standalone_mode=False)
    assert type(result.exception).__name__ in ("UsageError", "BadParameter")
