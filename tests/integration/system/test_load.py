"""`load`: good lines arrive, bad lines and errors are reported."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.deployments import Installation
from tests.support.kafka import Kafka
from tests.support.processes import isolated, run, wait_until

DEADLINE = 30.0
AT = "2026-05-28T20:26:40Z"


def events(queue: str, item: str) -> list[dict[str, Any]]:
    """An annotation, an evaluation and a queue item of one item."""
    return [
        {"id": "a", "at": AT, "queue": queue, "item": item, "thumbs": "up"},
        {"id": "e", "at": AT, "item": item, "metric": "relevance", "passed": True},
        {"kind": "queue_item", "id": "q", "at": AT, "queue": queue, "item": item},
    ]


def lines(queue: str, item: str) -> bytes:
    """The same as lines of a file."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events(queue, item))


def compared(installation: Installation, queue: str) -> int:
    """Comparisons of a queue."""
    document = installation.document(queue)
    return 0 if document is None else int(document["cards"]["comparisons"])


def test_a_pipe_that_stays_open_is_live(embedded: Installation, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "eval_alignment", "load", "--broker", embedded.broker, "-"]
    environment = isolated(tmp_path, embedded.environment)
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd=tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(lines("live", "live-1"))
        process.stdin.flush()
        wait_until(lambda: compared(embedded, "live") == 1, DEADLINE, "the first events are served")
        process.stdin.write(lines("live", "live-2").rstrip())
        process.stdin.close()
        assert process.wait(DEADLINE) == 0
    wait_until(lambda: compared(embedded, "live") == 2, DEADLINE, "a last line without its end is served")


def test_plain_gzipped_and_standard_input_arrive(embedded: Installation, tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.ndjson", tmp_path / "no-suffix-needed"
    plain.write_bytes(lines("load", "i1"))
    zipped.write_bytes(gzip.compress(lines("load", "i2")))
    command = ("load", "--broker", embedded.broker, str(plain), "-", str(zipped))
    done = embedded.run(*command, stdin=lines("load", "i3").replace(b"\n", b"\r\n\r\n"))
    said = [line for line in done.stdout.decode().splitlines() if line]
    assert said == [f"alignment.{kind}.v1: 3 acknowledged" for kind in ("annotations", "evaluations", "queue-items")]
    wait_until(lambda: compared(embedded, "load") == 3, DEADLINE, "three comparisons")
    # Queue items are another topic: they may be counted in a later step.
    wait_until(lambda: embedded.document("load")["cards"]["items_queued"] == 3, DEADLINE, "three queue items")


def test_each_bad_line_is_named_and_the_good_ones_arrive(embedded: Installation, tmp_path: Path) -> None:
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson.gz"
    bad = [
        (b"not json", "malformed"),
        (b'{"id":"a","at":1,"queue":"q","item":"i","thumbs":"sideways"}', "invalid_field"),
        (b'{"id":"a","at":1,"item":"i"}', "missing_field"),
        (b'{"kind":"rating","id":"a"}', "invalid_field"),
        (b'{"id":"a","at":1,"queue":"a\\nb","item":"i","thumbs":"up"}', "invalid_name"),
        (b'{"id":"e","at":1,"item":"i","metric":"m","score":0.5}', "no_verdict"),
        (b'{"id":"a","at":1,"queue":"q","item":"i","thumbs":"up","x":"' + b"x" * 262_144 + b'"}', "oversized"),
    ]
    first.write_bytes(b"\n".join(line for line, _ in bad) + b"\n\n" + lines("load bad", "i1"))
    second.write_bytes(gzip.compress(lines("load bad", "i2") + b'{"thumbs":"up"'))
    done = embedded.run("load", "--broker", embedded.broker, str(first), str(second), expect=1)
    told = done.stderr.decode().splitlines()
    named = [line.split(": ")[:2] for line in told[:-1]]
    assert named == [
        *([f"{first}:{number}", reason] for number, (_, reason) in enumerate(bad, start=1)),
        [f"{second}:4", "malformed"],
    ]
    assert told[-1].startswith("8 bad lines: ")
    assert "2 malformed" in told[-1]
    wait_until(lambda: compared(embedded, "load bad") == 2, DEADLINE, "two comparisons")


def test_a_broken_archive_is_an_error_after_what_was_read(embedded: Installation, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(lines("load broken", "i1"))[:-9])
    done = embedded.run("load", "--broker", embedded.broker, str(broken), expect=1)
    assert "cannot read the input" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_missing_topics_are_named(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    own = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix}
    done = run("load", "--broker", kafka.bootstrap, "-", home=tmp_path, environment=own, expect=1)
    said = done.stderr.decode()
    assert f"{prefix}alignment.annotations.v1" in said
    assert "topics apply" in said
    assert "Traceback" not in said
