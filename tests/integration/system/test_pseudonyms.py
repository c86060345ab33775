"""With a key of pseudonyms, nothing that a worker or a view writes has the name of an annotator."""

import json
from pathlib import Path

import orjson
import pytest

from streams.events.pseudonyms import Pseudonyms
from tests.support.deployments import Installation
from tests.support.processes import get, wait_until
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

NAME = "Grace Hopper-Zyx"
KEY = b"0123456789abcdef0123456789abcdef"
DEADLINE = 60.0


def content(wire: Wire, role: str) -> bytes:
    """All keys and values of a topic."""
    return b"".join((record.key or b"") + (record.value or b"") for record in wire.read(f"alignment.{role}.v1"))


def test_no_log_store_page_or_export_has_the_name_of_an_annotator(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY + b"\n")
    key.chmod(0o600)
    events = tmp_path / "events.ndjson"
    about = {"queue": "q", "item": "i", "annotator": NAME}
    rows = [
        {"kind": "annotation", "id": "a1", "at": 1_780_000_000_000, "thumbs": "up", **about},
        {"kind": "annotation", "id": "a2", "at": 1_780_000_000_001, "criterion": "tone", "stars": 2, "x": 1, **about},
        {"kind": "evaluation", "id": "e1", "at": 1_780_000_000_000, "item": "i", "metric": "m", "passed": True},
    ]
    events.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    with Installation(tmp_path, environment={"EVAL_ALIGNMENT_PSEUDONYMS_KEY_FILE": str(key)}) as installation:
        installation.load(events)
        address = f"{installation.url}/api/v1/queues/q/comparisons?outcome=tp,fn,tn,fp"
        wait_until(lambda: get(address).body.count(b'"metric"') == 2, DEADLINE, "both annotations are compared")
        pages = ("/", "/queues/q", *(f"/queues/q/items{rest}?outcome=tp,fn,tn,fp" for rest in ("", ".csv", ".jsonl")))
        found = {page: get(installation.url + page).body for page in pages} | {"API": get(address).body}
        exported = installation.run("export", "--broker", installation.broker).stdout
        with Wire(installation.broker) as wire:
            topics = {role: content(wire, role) for role in ("annotations", "facts", "tallies", "snapshots")}
    assert NAME.encode() in topics.pop("annotations"), "the source has the name"
    found |= topics
    found["export"] = exported
    found |= {str(file): file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()}
    assert [place for place, content in found.items() if NAME.encode() in content] == []
    pseudonym = Pseudonyms(KEY).of(NAME).encode()
    for place in (
        "facts",
        "API",
        "export",
        "/queues/q/items.csv?outcome=tp,fn,tn,fp",
        str(tmp_path / "data" / "view.sqlite3"),
    ):
        assert pseudonym in found[place], place
    assert {row["annotator"] for row in map(json.loads, exported.splitlines()) if row["kind"] == "annotation"} == {
        pseudonym.decode()
    }
