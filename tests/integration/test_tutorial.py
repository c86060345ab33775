"""The tutorial's commands run in order against `up` with the embedded broker, and print what the page shows."""

import doctest
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, isolated, wait_until
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
VIEW, INGEST, BROKER = "127.0.0.1:8390", "127.0.0.1:8389", "127.0.0.1:9392"
"""The addresses on the page; the test uses free ports in their place."""
DEADLINE = 30.0
READS = ("curl ", "eval-alignment report ")
"""Commands that may be repeated until the service has counted what was loaded."""
_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def files(page: str) -> Iterator[tuple[str, str]]:
    """Name and content of each Python file of a page; its first line is a comment with the name."""
    for language, text in BLOCK.findall(page):
        if language == "python":
            yield text.partition("\n")[0].removeprefix("# "), text


def commands(page: str) -> Iterator[tuple[str, str]]:
    """Each command of a page with the output that the page shows, in order."""
    for language, text in BLOCK.findall(page):
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield command, output


class Terminal:
    """A directory with a page's files, where `eval-alignment` and `python` are commands, and addresses are free."""

    def __init__(self, directory: Path, page: str) -> None:
        self.directory = directory / "work"
        self.directory.mkdir()
        self.free = {address: f"{LOOPBACK}:{free_port()}" for address in (VIEW, INGEST, BROKER)}
        settings = {
            "EVAL_ALIGNMENT_HTTP": self.free[VIEW],
            "EVAL_ALIGNMENT_INGEST_HTTP": self.free[INGEST],
            "EVAL_ALIGNMENT_WORKER_HTTP": f"{LOOPBACK}:{free_port()}",
            "COLUMNS": "200",
        }
        self.environment = isolated(directory, settings)
        self.environment["PATH"] = f"{self._programs(directory / 'bin')}:{self.environment['PATH']}"
        for name, text in files(page):
            (self.directory / name).write_text(text)

    @staticmethod
    def _programs(directory: Path) -> Path:
        directory.mkdir()
        for name, arguments in (("python", ""), ("eval-alignment", "-m eval_alignment ")):
            program = directory / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
            program.chmod(0o755)
        return directory

    def local(self, text: str) -> str:
        """The text with the free addresses."""
        for address, free in self.free.items():
            text = text.replace(address, free)
        return text.replace("eval-alignment report ", f"eval-alignment report --url http://{self.free[VIEW]} ")

    def output(self, command: str) -> str:
        """What the command prints."""
        done = subprocess.run(
            ["bash", "-c", self.local(command)],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.stdout

    def service(self, command: str) -> Command:
        """The process of a command that runs until Ctrl-C."""
        port = self.free[BROKER].rpartition(":")[2]
        arguments = [*shlex.split(command)[1:], "--embedded-broker-port", port]
        return Command(*arguments, log=self.directory / "service.log", environment=self.environment)

    def matches(self, expected: str, printed: str) -> bool:
        """Whether the output is the page's, `...` standing for anything and white space for white space."""
        return doctest.OutputChecker().check_output(self.local(expected), printed, _OPTIONS)

    def run(self, command: str, expected: str) -> None:
        """Run a command to its end; fails unless it prints what is expected."""
        printed = self.output(command)
        if command.startswith(READS):
            wait_until(lambda: self.matches(expected, self.output(command)), DEADLINE, lambda: f"{command}\n{printed}")
        else:
            assert self.matches(expected, printed), f"{command}\nexpected:\n{expected}\nprinted:\n{printed}"


@pytest.mark.slow
def test_every_command_of_the_tutorial_prints_what_the_page_shows(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, PAGE)
    steps = list(commands(PAGE))
    (start,) = [number for number, (command, _) in enumerate(steps) if command.startswith("eval-alignment up ")]
    for command, expected in steps[:start]:
        terminal.run(command, expected)
    command, expected = steps[start]
    with terminal.service(command) as service:
        wait_until(lambda: terminal.matches(expected, service.text()), DEADLINE, service.text)
        for command, expected in steps[start + 1 :]:
            terminal.run(command, expected)
        assert service.terminate(number=signal.SIGINT) == 0, service.text()
