"""The programs in `examples/`: how each is run, what it needs, and which files its last run covers.

`make examples` runs them (`__main__.py`), and docs/producers.md shows them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.records import ROOT

RECORDS: Final = ROOT / "examples" / "record.json"
"""The last run of each example."""
EVENTS: Final = 100
"""Number of events that each example sends: an annotation and an evaluation of each of 50 items."""

CONTRACT: Final = (
    "streams/events/decoder.py",
    "streams/events/fast_path.py",
    "streams/events/schemas.py",
    "streams/events/values.py",
    "streams/events/wire.py",
    "streams/kafka/producer.py",
    "streams/kafka/topics.py",
)
"""What every example sends to: the events that a worker accepts, the partition of a key, and the topics."""
OVER_HTTP: Final = ("ingest",)
"""What examples without a Kafka library send to."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a program: a name, the command that prints the version, and other programs that must be on PATH."""

    name: str
    version: tuple[str, ...]
    tools: tuple[str, ...] = ()

    @property
    def programs(self) -> tuple[str, ...]:
        """All programs that must be on PATH."""
        return (self.version[0], *self.tools)


PYTHON: Final = Runtime("Python", ("python3", "--version"))
JAVA: Final = Runtime("Java", ("java", "--version"), ("mvn",))
NODE: Final = Runtime("Node.js", ("node", "--version"), ("npm",))
GO: Final = Runtime("Go", ("go", "version"))
BASH: Final = Runtime("Bash", ("bash", "--version"), ("curl", "jq"))


@dataclass(frozen=True, slots=True)
class ExampleProducer:
    """One program that sends events. Its files are copied to a directory, and `command` is run there."""

    name: str
    """The name for `make examples EXAMPLES=name`."""
    title: str
    """The heading on the page."""
    queue: str
    """The queue of its annotations."""
    library: str
    """The package whose client it uses."""
    runtime: Runtime
    command: str
    """What a reader types to run it."""
    note: str
    """What a reader needs to run it."""
    files: tuple[str, ...]
    """Its files; the first is the program, the last requires a version of the library."""
    installed: tuple[str, ...] = ()
    """The command that prints the version of the library, where no file requires one."""
    sends_to: tuple[str, ...] = ()
    """What a run covers besides its files and `CONTRACT`."""

    @property
    def program(self) -> Path:
        """The path of the program."""
        return ROOT / self.files[0]

    @property
    def covers(self) -> tuple[str, ...]:
        """The files that a run covers."""
        return (*self.files, *CONTRACT, *self.sends_to)

    @property
    def version(self) -> str:
        """The version of the library that its last file requires."""
        text = (ROOT / self.files[-1]).read_text(encoding="utf-8")
        found = re.search(rf'{re.escape(self.library)}(?:==|": "|</artifactId>\s*<version>| v)([\d.]+)', text)
        if found is None:
            raise ValueError(f"{self.files[-1]} requires no version of {self.library}")
        return found[1]


EXAMPLES: Final = (
    ExampleProducer(
        name="curl",
        title="curl",
        queue="Example curl",
        library="curl",
        runtime=BASH,
        command="bash send-events.sh",
        note="Sends to `eval-alignment ingest`. Needs curl and jq.",
        files=("examples/curl/send-events.sh",),
        installed=("curl", "--version"),
        sends_to=OVER_HTTP,
    ),
    ExampleProducer(
        name="client",
        title="Python, the client",
        queue="Example client",
        library="eval-alignment",
        runtime=PYTHON,
        command="python send_client.py",
        note="Sends to `eval-alignment ingest`. Needs the package `eval-alignment`, and loads no Kafka library. "
        "[Client](client.md) describes it.",
        files=("examples/python/send_client.py",),
        installed=("eval-alignment", "--version"),
        sends_to=(*OVER_HTTP, "eval_alignment/client"),
    ),
    ExampleProducer(
        name="aiokafka",
        title="Python, aiokafka",
        queue="Example aiokafka",
        library="aiokafka",
        runtime=PYTHON,
        command="uv run send_aiokafka.py",
        note="The first lines name the library for uv. Without uv: `pip install aiokafka`.",
        files=("examples/python/send_aiokafka.py",),
    ),
    ExampleProducer(
        name="confluent",
        title="Python, confluent-kafka",
        queue="Example confluent-kafka",
        library="confluent-kafka",
        runtime=PYTHON,
        command="uv run send_confluent.py",
        note="The first lines name the library for uv. Without uv: `pip install confluent-kafka`.",
        files=("examples/python/send_confluent.py",),
    ),
    ExampleProducer(
        name="java",
        title="Java, kafka-clients",
        queue="Example Java",
        library="kafka-clients",
        runtime=JAVA,
        command="mvn -q compile exec:java",
        note="Needs Java 17 or newer, and Maven.",
        files=("examples/java/SendEvents.java", "examples/java/pom.xml"),
    ),
    ExampleProducer(
        name="typescript",
        title="TypeScript, KafkaJS",
        queue="Example KafkaJS",
        library="kafkajs",
        runtime=NODE,
        command="npm ci && npm start",
        note="Needs Node.js 20 or newer.",
        files=(
            "examples/typescript/send-events.ts",
            "examples/typescript/package-lock.json",
            "examples/typescript/package.json",
        ),
    ),
    ExampleProducer(
        name="go",
        title="Go, franz-go",
        queue="Example Go",
        library="github.com/twmb/franz-go",
        runtime=GO,
        command="go run .",
        note="Needs Go 1.26 or newer.",
        files=("examples/go/send_events.go", "examples/go/go.sum", "examples/go/go.mod"),
    ),
)
