"""The table of exit codes."""

from collections import Counter

from streams.runtime.exit_codes import EVERY, VIEW, WORKER, ExitCode, codes_without_restart

SHARED = frozenset(range(64, 126))
"""Below are Python's and click's codes and those of gates; above are the shell's."""


def test_from_64_on_every_code_has_one_meaning_for_all_commands() -> None:
    counts = Counter(ending.code for ending in ExitCode if ending.code in SHARED)
    assert set(counts.values()) == {1}
    scripts = {ending.code for ending in ExitCode} - SHARED
    assert scripts == {0, 1, 2, 3, 130}


def test_a_command_ends_with_a_code_for_one_reason() -> None:
    counts = Counter((ending.code, command) for ending in ExitCode for command in ending.commands)
    assert set(counts.values()) == {1}


def test_every_ending_of_a_server_has_a_meaning_an_action_and_a_restart_rule() -> None:
    servers = [ending for ending in ExitCode if {WORKER, VIEW} & {*ending.commands}]
    assert len(servers) > 10
    for ending in servers:
        assert ending.meaning.endswith(".")
        assert ending.action.endswith(".")
        assert ending.restart is (ending.code < 80)


def test_codes_without_restart_are_those_of_the_command_and_of_every_command() -> None:
    assert codes_without_restart(EVERY) == {64}
    assert codes_without_restart(WORKER) == {64, *range(80, 86), 87, 89}
    assert codes_without_restart(VIEW) == {64, 81, 83, 88}
