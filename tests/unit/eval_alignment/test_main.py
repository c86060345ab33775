"""The command: help of every subcommand, and exit codes of invalid calls."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from eval_alignment.main import cli
from streams.runtime.exit_codes import ExitCode
from tests.support.processes import isolated, run

EVENTS = (
    b'{"id":"a","at":1700000000000,"queue":"q","item":"i","thumbs":"up"}\n'
    b'{"id":"e","at":1700000000000,"item":"i","metric":"m","score":0.4,"threshold":0.5}\n'
)


GROUPS = [cli, *(command for command in cli.commands.values() if isinstance(command, click.Group))]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_help_of_a_group_has_a_whole_sentence_for_each_command(group: click.Group) -> None:
    lines = CliRunner().invoke(group, ["--help"]).output.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(group.list_commands(click.Context(group)))
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["nothing"], {}),
        (["load"], {}),
        (["up", "--broker", "127.0.0.1:1", "--embedded-broker-port", "2"], {}),
        (["config", "show"], {"EVAL_ALIGNMENT_POLICY": "sometimes"}),
        (["ingest"], {"EVAL_ALIGNMENT_SOURCES": '{"a": {"tool": "argilla", "secret_file": "missing"}}'}),
    ],
)
def test_a_usage_error_has_no_exit_code_of_the_gate(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    output = run(*arguments, home=tmp_path, environment=environment, expect=ExitCode.USAGE.code).stderr
    assert b"Traceback" not in output
    assert output


@pytest.mark.parametrize("process", ["worker", "view", "ingest"])
@pytest.mark.parametrize(
    ("http", "reason", "ending"),
    [
        ("0.0.0.0:0", b"token_file", ExitCode.USAGE),
        ("127.0.0.1:taken", b"cannot listen on 127.0.0.1", ExitCode.ADDRESS_IN_USE),
    ],
)
def test_every_server_ends_alike_when_it_cannot_listen(
    process: str, http: str, reason: bytes, ending: ExitCode, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = http.replace("taken", str(taken.getsockname()[1]))
        arguments = [process, "--broker", "127.0.0.1:1", "--http", address]
        done = run(*arguments, home=tmp_path, expect=ending.code)
    assert reason in done.stderr
    assert b"Traceback" not in done.stderr


def test_recount_prints_documents_and_names_bad_lines(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(EVENTS + b'{"metric":"m"}\n\n{"id":\n')
    result = run("recount", str(file), "--json", home=tmp_path, expect=1)
    (document,) = orjson.loads(result.stdout)
    assert (document["queue"], document["cards"]["misaligned"]) == ("q", 1)
    output = result.stderr.decode().splitlines()
    assert [line.split(": ")[:2] for line in output] == [
        [f"{file}:3", "missing_field"],
        [f"{file}:5", "malformed"],
        ["2 invalid lines", "1 missing_field, 1 malformed"],
    ]


def test_recount_reads_standard_input_and_renders_a_table(tmp_path: Path) -> None:
    output = run("recount", "-", home=tmp_path, stdin=EVENTS).stdout.decode()
    assert "q" in output
    assert "overall" in output


def test_a_broken_archive_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson.gz"
    file.write_bytes(b"\x1f\x8b\x08\x00broken")
    assert b"cannot read the input" in run("recount", str(file), home=tmp_path, expect=1).stderr


def test_topics_and_load_report_quickly_that_no_broker_answers(tmp_path: Path) -> None:
    for arguments in (["topics", "apply"], ["topics", "diff"], ["load", "-"]):
        output = run(*arguments, "--broker", "127.0.0.1:1", home=tmp_path, stdin=EVENTS, expect=1).stderr
        assert b"127.0.0.1:1" in output
        assert b"Traceback" not in output


def test_recount_loads_no_kafka_client_database_or_web_server(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from eval_alignment.main import cli; "
        "CliRunner().invoke(cli, ['recount', '-'], input=''); "
        "print([name for name in ('faust', 'aiokafka', 'sqlite3', 'starlette') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=isolated(tmp_path), cwd=tmp_path
    )
    assert output.stdout.strip() == b"[]"


def test_other_users_cannot_read_what_a_command_writes(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("item,label,verdict\n1,up,pass\n2,down,fail\n")
    columns = ("--human", "label", "--labels", "thumbs", "--verdict", "verdict")
    shared = tmp_path / "shared.html"
    shared.touch()
    shared.chmod(0o644)
    before = os.umask(0o022)
    try:
        for name in ("report.html", "shared.html"):
            run("check", "labels.csv", *columns, "--html", name, home=tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600
    assert shared.stat().st_mode & 0o777 == 0o644, "a file that exists keeps its mode"
