"""`make examples`: run every program of `examples/` against an Apache Kafka, with a worker and a view that count.

Each program is run in a copy of its files by the command that the page shows, and must exit with 0. The view must then
show exactly its comparisons, the source topics must have exactly the events of all, and the dead letters none. At the
end the topics refuse every record: each program must then exit with another code. What held goes into the record,
from which `make docs` makes the table of docs/producers.md.
"""

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.support import kafka
from tests.support.deployments import Cluster
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, Command, wait_until
from tests.support.wire import Wire
from tools.producers import EVENTS, EXAMPLES, RECORDS, ExampleProducer
from tools.records import ROOT, RunRecord, content_hashes, load, save

SECONDS: Final = 300.0
"""Time for one program, with the download of what it needs."""
COUNTED: Final = {"comparisons": 50, "tp": 30, "fn": 10, "fp": 7, "tn": 3}
"""What the view must show of each program. Of 50 items, people reject every 5th and the metric every 4th."""
TOKEN: Final = secrets.token_urlsafe(32)
"""The token of `ingest`."""
SOURCES: Final = ("annotations", "evaluations")
"""The topics to which the programs send."""


def main(names: Sequence[str]) -> int:
    """Run the named examples, or else all; returns the exit code."""
    if unknown := set(names) - {example.name for example in EXAMPLES}:
        known = ", ".join(example.name for example in EXAMPLES)
        sys.stderr.write(f"unknown examples: {', '.join(sorted(unknown))}; known are {known}\n")
        return 2
    examples = [example for example in EXAMPLES if example.name in names or not names]
    if missing := _missing(examples):
        sys.stderr.write("make examples cannot run here:\n" + "".join(f"  {line}\n" for line in missing))
        return 2
    covered = {example.name: content_hashes(example.covers) for example in examples}
    results = _run(examples)
    day = datetime.now(UTC).date().isoformat()
    records = load(RECORDS) | {name: RunRecord(day, result, covered[name]) for name, result in results.items()}
    save(RECORDS, {example.name: records[example.name] for example in EXAMPLES if example.name in records})
    return 0


def _missing(examples: Sequence[ExampleProducer]) -> list[str]:
    """What this machine lacks, a line each."""
    absent = [
        f"{example.name} needs {program}, which is not found on PATH"
        for example in examples
        for program in example.runtime.programs
        if shutil.which(program) is None
    ]
    reason = kafka.missing()
    return [*absent, f"the broker: {reason}"] if reason else absent


def _run(examples: Sequence[ExampleProducer]) -> dict[str, dict[str, str | int]]:
    """The results by example. Fails at the first that does not do what it must."""
    with tempfile.TemporaryDirectory(prefix="examples-") as temporary:
        directory = Path(temporary)
        copies = {example.name: _copy(example, directory / example.name) for example in examples}
        with (
            kafka.Kafka() as broker,
            Cluster(broker.bootstrap, "", directory / "cluster") as cluster,
            _ingest(cluster) as url,
        ):
            environment = _environment(broker.bootstrap, url)
            for example in examples:
                _note(f"{example.title}: {example.command}")
                done = _program(example, copies[example.name], environment)
                assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}"
                _await_counts(cluster, example)
            with Wire(broker.bootstrap) as wire:
                dead = wire.read(cluster.topic("dead-letters"))
                assert not dead, dead[0]
                sent = sum(len(wire.read(cluster.topic(role))) for role in SOURCES)
                assert sent == EVENTS * len(examples), f"{sent} events in the topics, not {EVENTS} of each example"
                for role in SOURCES:
                    wire.configure(cluster.topic(role), max_message_bytes="1")
            for example in examples:
                _note(f"{example.title}: the broker refuses its events")
                done = _program(example, copies[example.name], environment)
                refused = done.returncode != 0 and re.search("large", done.stdout, re.IGNORECASE)
                assert refused, f"exit code {done.returncode}, and not for a record too large:\n{done.stdout}"
        return {example.name: _result(example, environment) for example in examples}


@contextlib.contextmanager
def _ingest(cluster: Cluster) -> Iterator[str]:
    """The address of a running `ingest`, which takes events only with `TOKEN`."""
    address = f"{LOOPBACK}:{free_port()}"
    url = f"http://{address}"
    tokens = cluster.directory / "tokens"
    tokens.write_text(f"examples {TOKEN}\n")
    tokens.chmod(0o600)
    environment = {**cluster.environment, "EVAL_ALIGNMENT_INGEST_TOKEN_FILE": str(tokens)}
    arguments = ("ingest", "--broker", cluster.broker, "--http", address)
    with Command(*arguments, log=cluster.directory / "ingest.log", environment=environment) as process:
        process.wait_ready(url)
        yield url


def _copy(example: ExampleProducer, directory: Path) -> Path:
    """The directory with copies of the example's files, as a reader makes it."""
    directory.mkdir()
    for name in example.files:
        shutil.copy(ROOT / name, directory)
    return directory


def _environment(bootstrap: str, url: str) -> Mapping[str, str]:
    """The environment of the programs: this one, with the addresses, and with uv, its Python and the client."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    addresses = {"BROKER": bootstrap, "URL": url, "TOKEN": TOKEN}
    return {**os.environ, **addresses, "PATH": programs, "PYTHONPATH": str(ROOT), "UV_PYTHON": sys.executable}


def _program(
    example: ExampleProducer, directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(
        ["bash", "-c", example.command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _await_counts(cluster: Cluster, example: ExampleProducer) -> None:
    """Return when the view shows exactly the example's comparisons; fails with the worker's log."""
    wait_until(
        lambda: _counts(cluster, example) == COUNTED,
        60,
        lambda: f"{COUNTED}; the worker's log ends with:\n{cluster.workers['w1'].text()[-2000:]}",
    )


def _counts(cluster: Cluster, example: ExampleProducer) -> dict[str, Any]:
    """What the view shows of the example's queue, with the names of `COUNTED`; empty before it shows anything."""
    document = cluster.document(example.queue)
    metrics = [metric for criterion in document["criteria"] for metric in criterion["metrics"]] if document else []
    return {name: metrics[0][name] for name in COUNTED} if len(metrics) == 1 else {}


def _result(example: ExampleProducer, environment: Mapping[str, str]) -> dict[str, str | int]:
    """What the table on the page shows."""
    version = _version(example.installed, environment) if example.installed else example.version
    return {
        "library": f"{example.library.rpartition('/')[2]} {version}",
        "language": f"{example.runtime.name} {_version(example.runtime.version, environment)}",
        "broker": f"Apache Kafka {kafka.version()}",
        "events": EVENTS,
    }


def _version(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """The version that a command prints."""
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return str(re.findall(r"\d+(?:\.\d+)+", done.stdout)[0])


def _note(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
