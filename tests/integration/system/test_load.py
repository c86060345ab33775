"""`load`: valid lines arrive, invalid lines and errors are reported."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.deployments import Installation
from tests.support.kafka import Kafka
from tests.support.ports import free_port
from tests.support.processes import LOOPBACK, isolated, run, wait_until

DEADLINE = 30.0
AT = "2026-05-28T20:26:40Z"


def events(queue: str, item: str) -> list[dict[str, Any]]:
    """An annotation, an evaluation and a queue item for one item."""
    return [
        {"id": "a", "at": AT, "queue": queue, "item": item, "thumbs": "up"},
        {"id": "e", "at": AT, "item": item, "metric": "relevance", "passed": True},
        {"kind": "queue_item", "id": "q", "at": AT, "queue": queue, "item": item},
    ]


def lines(queue: str, item: str) -> bytes:
    """These events as lines of a file."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events(queue, item))


def compared(installation: Installation, queue: str) -> int:
    """Comparisons of a queue."""
    document = installation.document(queue)
    return 0 if document is None else int(document["cards"]["comparisons"])


def test_load_sends_each_line_of_an_open_pipe_immediately(embedded: Installation, tmp_path: Path) -> None:
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
    wait_until(lambda: compared(embedded, "live") == 2, DEADLINE, "a last line without line end is served")


def test_load_reads_plain_files_gzipped_files_and_standard_input(embedded: Installation, tmp_path: Path) -> None:
    plain, zipped = tmp_path / "plain.ndjson", tmp_path / "no-suffix-needed"
    plain.write_bytes(lines("load", "i1"))
    zipped.write_bytes(gzip.compress(lines("load", "i2")))
    command = ("load", "--broker", embedded.broker, str(plain), "-", str(zipped))
    done = embedded.run(*command, stdin=lines("load", "i3").replace(b"\n", b"\r\n\r\n"))
    acknowledged = [line for line in done.stdout.decode().splitlines() if line]
    assert acknowledged == [
        f"alignment.{kind}.v1: 3 acknowledged" for kind in ("annotations", "evaluations", "queue-items")
    ]
    wait_until(lambda: compared(embedded, "load") == 3, DEADLINE, "three comparisons")
    # Queue items are another topic: they may be counted in a later step.
    wait_until(lambda: embedded.document("load")["cards"]["items_queued"] == 3, DEADLINE, "three queue items")


def test_load_reports_each_invalid_line_and_sends_the_others(embedded: Installation, tmp_path: Path) -> None:
    first, second = tmp_path / "first.ndjson", tmp_path / "second.ndjson.gz"
    invalid = [
        (b"not json", "malformed"),
        (b'{"id":"a","at":100000000000,"queue":"q","item":"i","thumbs":"sideways"}', "invalid_field"),
        (b'{"id":"a","at":100000000000,"item":"i"}', "missing_field"),
        (b'{"kind":"rating","id":"a"}', "invalid_field"),
        (b'{"id":"a","at":100000000000,"queue":"a\\nb","item":"i","thumbs":"up"}', "invalid_name"),
        (b'{"id":"e","at":100000000000,"item":"i","metric":"m","score":0.5}', "no_verdict"),
        (
            b'{"id":"a","at":100000000000,"queue":"q","item":"i","thumbs":"up","x":"' + b"x" * 2**18 + b'"}',
            "oversized",
        ),
    ]
    first.write_bytes(b"\n".join(line for line, _ in invalid) + b"\n\n" + lines("load bad", "i1"))
    second.write_bytes(gzip.compress(lines("load bad", "i2") + b'{"thumbs":"up"'))
    done = embedded.run("load", "--broker", embedded.broker, str(first), str(second), expect=1)
    reported = done.stderr.decode().splitlines()
    places = [line.split(": ")[:2] for line in reported[:-1]]
    assert places == [
        *([f"{first}:{number}", reason] for number, (_, reason) in enumerate(invalid, start=1)),
        [f"{second}:4", "malformed"],
    ]
    assert reported[-1].startswith("8 invalid lines: ")
    assert "2 malformed" in reported[-1]
    wait_until(lambda: compared(embedded, "load bad") == 2, DEADLINE, "two comparisons")


def test_load_fails_at_the_end_of_a_broken_archive(embedded: Installation, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(lines("load broken", "i1"))[:-9])
    done = embedded.run("load", "--broker", embedded.broker, str(broken), expect=1)
    assert "cannot read the input" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_load_names_missing_topics(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    own = {"EVAL_ALIGNMENT_TOPIC_PREFIX": prefix}
    done = run("load", "--broker", kafka.bootstrap, "-", home=tmp_path, environment=own, expect=1)
    output = done.stderr.decode()
    assert f"{prefix}alignment.annotations.v1" in output
    assert "topics apply" in output
    assert "Traceback" not in output


def test_a_refused_connection_names_the_embedded_broker_of_up(tmp_path: Path) -> None:
    done = run("load", "--broker", f"{LOOPBACK}:{free_port()}", "-", home=tmp_path, expect=1)
    assert "the embedded broker of `up` listens at 127.0.0.1:9392 (--broker)" in done.stderr.decode()


def test_load_names_another_format_and_a_missing_side(embedded: Installation, tmp_path: Path) -> None:
    array, mark = tmp_path / "array.json", tmp_path / "mark.ndjson"
    array.write_text(json.dumps(events("load array", "i1"), indent=2))
    done = embedded.run("load", "--broker", embedded.broker, str(array), expect=1)
    assert done.stderr.decode().startswith(f"Error: {array} is a JSON array, expected one JSON object per line")
    mark.write_bytes(b"\xef\xbb\xbf" + lines("load mark", "i1").splitlines()[0])
    done = embedded.run("load", "--broker", embedded.broker, str(mark))
    assert done.stderr.decode().startswith("no evaluations in the input")
    done = embedded.run("load", "--broker", embedded.broker, "-", stdin=array.read_bytes(), expect=1)
    assert done.stderr.decode().startswith("Error: standard input is a JSON array")


def test_load_warns_of_events_that_the_worker_will_reject(embedded: Installation) -> None:
    ahead = lines("load ahead", "i1").replace(AT.encode(), b"2096-05-28T20:26:40Z")
    done = embedded.run("load", "--broker", embedded.broker, "-", stdin=ahead)
    (warning,) = done.stderr.decode().splitlines()
    assert warning.startswith("3 events are more than 5 minutes (setting `future_limit_ms`) ahead of this machine's")


TABLE = """trace_id;rated by;label;score;comment;reason
007;ann;yes;0,91;fine;on topic
007;ben;no;0,91;;
NA;ann;no;0,2;"too; short";
null;ann;;0,7;;
x;ann;yes;;;
"""


def test_load_sends_the_rows_of_a_table_and_a_second_load_changes_nothing(
    embedded: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TABLE.encode())
    rules = ("--annotator", "rated by", "--threshold", "0.5", "--metric-name", "table_score", "--at", "2026-03-01")
    arguments = (str(path), "--queue", "table", *rules)
    shown = json.loads(embedded.run("check", "--json", *arguments).stdout)
    for _ in range(2):
        done = embedded.run("load", "--broker", embedded.broker, "--columns", *arguments)
        assert done.stdout.decode().splitlines() == [
            "alignment.annotations.v1: 4 acknowledged",
            "alignment.evaluations.v1: 3 acknowledged",
        ]
        (recognised, summary) = done.stderr.decode().splitlines()
        assert "delimiter semicolon, UTF-8, decimal comma; item 'trace_id'; human 'label'" in recognised
        assert summary == (
            "5 rows: accepted 4 labels and 3 verdicts; 3 skipped (1 not labelled, 1 not judged, 1 repeated); 0 invalid"
        )
    wait_until(lambda: compared(embedded, "table") == 3, DEADLINE, "the rows are served")
    document = embedded.document("table")
    assert document is not None
    for name in ("tp", "fn", "fp", "tn", "items_compared"):
        assert document["criteria"][0]["metrics"][0][name] == shown["criteria"][0]["metrics"][0][name]


def test_load_of_a_table_names_what_it_needs(embedded: Installation, tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("id,label\na,pass\nb,perhaps\nc,fail\n")
    command = ("load", "--broker", embedded.broker, str(path))
    assert b"--queue requires --columns" in embedded.run(*command, "--queue", "q", expect=64).stderr
    assert b"--item requires --columns" in embedded.run(*command, "--item", "id", expect=64).stderr
    assert b"--columns requires --queue NAME" in embedded.run(*command, "--columns", expect=64).stderr
    assert b"is CSV, expected one JSON object per line" in embedded.run(*command, expect=1).stderr
    done = embedded.run(*command, "--columns", "--queue", "named", expect=1)
    assert b"line 3: column 'label': 'perhaps' is not a label" in done.stderr
    assert b"rows without a time are dated 2" in done.stderr
    assert (
        b"3 rows: accepted 2 labels and 0 verdicts; 0 skipped (0 not labelled, 0 not judged, 0 repeated); 1 invalid"
        in (done.stderr)
    )
    path.write_text("")
    assert b"is empty" in embedded.run(*command, "--columns", "--queue", "named", expect=1).stderr
