"""`report`: exit codes of the gate, from files, from a view, and from servers that are not a view."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, encode
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from eval_alignment.commands.report import report
from eval_alignment.insights import RecountInsights
from eval_alignment.view_client import View

AT = 1_795_428_902_412


def facts(agree: int, disagree: int, metric: str = "relevance", queue: str = "a/b ü") -> list[Fact]:
    events: list[Fact] = []
    for number in range(agree + disagree):
        item = f"{metric}{number}"
        events.append(Annotation(AT, f"a{item}", queue, item, thumbs="up"))
        events.append(Evaluation(AT, f"e{item}", item, metric, passed=number < agree))
    return events


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(report, arguments, env=environment)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files: 36 of 40 items agree on relevance, 9 of 10 on tone."""
    paths = []
    for name, events in (("one", facts(36, 4)), ("two", facts(9, 1, metric="tone"))):
        path = tmp_path / f"{name}.ndjson"
        path.write_bytes(b"".join(encode(fact) + b"\n" for fact in events))
        paths.append(str(path))
    return paths


def gate(files: list[str], *options: str) -> Result:
    return call("a/b ü", "--file", *files, "--fail-under", *options)


# 36 of 40 have the Wilson interval 0.7695 to 0.9604.
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["0.76", "--metric", "relevance"], 0),
        (["0.78", "--metric", "relevance"], 1),
        (["0.78", "--metric", "relevance", "--bound", "point"], 0),
        (["0.9", "--metric", "relevance", "--bound", "point"], 0),
        (["0.91", "--metric", "relevance", "--bound", "point"], 1),
        (["0.1", "--metric", "tone"], 2),
        (["0.1", "--metric", "tone", "--min-items", "10"], 0),
        (["0.1", "--metric", "tone", "--min-items", "11"], 2),
        (["0.76"], 2),
        (["0.78"], 1),
        (["0.1", "--metric", "unheard of"], 64),
        (["0.1", "--criterion", "unheard of"], 64),
        (["0.1", "--criterion", "overall", "--min-items", "0"], 0),
        (["1"], 1),
        (["0", "--metric", "relevance"], 0),
    ],
)
def test_report_ends_with_the_exit_code_of_the_gate(files: list[str], options: list[str], code: int) -> None:
    assert gate(files, *options).exit_code == code


def test_report_prints_one_line_for_each_pair_that_decides(files: list[str]) -> None:
    assert [line.partition(":")[0] for line in gate(files, "0.76").stdout.splitlines()] == ["too few"]
    below = gate(files, "0.78").stdout
    assert below == "below: overall / relevance: lower bound (one look) 0.7695, limit 0.78, 40 items, minimum 30\n"
    passed = gate(files, "0.1", "--min-items", "1").stdout.splitlines()
    assert [line.partition(": lower")[0] for line in passed] == ["pass: overall / relevance", "pass: overall / tone"]


def test_many_looks_take_a_bound_that_holds_at_all_of_them(files: list[str]) -> None:
    # 36 of 40: Wilson's bound is 0.7695, the confidence sequence's 0.7187.
    options = ["0.75", "--metric", "relevance"]
    assert gate(files, *options).exit_code == 0
    assert gate(files, *options, "--looks", "many").exit_code == 1
    assert "lower bound (many looks) 0.7187" in gate(files, *options, "--looks", "many").stdout


def test_the_gate_checks_the_judge_version_that_is_asked_for(tmp_path: Path) -> None:
    # v1 agreed on all of 40 items, v2 judged them a day later and agrees on half.
    events: list[Fact] = [Annotation(AT, f"a{n}", "q", f"i{n}", thumbs="up") for n in range(40)]
    events += [Evaluation(AT, f"e{n}", f"i{n}", "m", judge="v1", passed=True) for n in range(40)]
    events += [Evaluation(AT + 2 * DAY_MS, f"f{n}", f"i{n}", "m", judge="v2", passed=n % 2 == 0) for n in range(40)]
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(map(encode, events)))

    def ask(*options: str) -> int:
        return call("q", "--file", str(path), "--fail-under", "0.9", *options).exit_code

    assert ask() == ask("--judge", "newest") == ask("--judge", "v2") == 1
    assert ask("--judge", "v1") == 0
    assert ask("--judge", "v3") == 2


def test_items_are_counted_once_however_many_annotators(tmp_path: Path) -> None:
    events: list[Fact] = [
        *(Annotation(AT, f"a{n}", "q", f"i{n % 20}", annotator=f"p{n}", thumbs="up") for n in range(60)),
        *(Evaluation(AT, f"e{n}", f"i{n}", "relevance", passed=True) for n in range(20)),
    ]
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(map(encode, events)))
    assert call("q", "--file", str(path), "--fail-under", "0.1").exit_code == 2
    assert call("q", "--file", str(path), "--fail-under", "0.1", "--min-items", "20").exit_code == 0


def test_off_topic_pairs_are_ignored(files: list[str]) -> None:
    only_tone = {"EVAL_ALIGNMENT_CRITERION_METRICS": '{"overall": ["tone"]}'}
    options = ("a/b ü", "--file", *files, "--fail-under", "0.78", "--min-items", "10")
    assert call(*options).exit_code == 1
    assert call(*options, "--bound", "point", **only_tone).exit_code == 0
    assert call(*options, "--metric", "relevance", **only_tone).exit_code == 2


@pytest.mark.parametrize("limit", ["nan", "inf", "-0.1", "1.01", "90%", ""])
def test_a_limit_outside_0_to_1_is_a_usage_error(files: list[str], limit: str) -> None:
    assert "not a number from 0 to 1" in gate(files, limit).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fail-under", "0.5"],
        ["q", "--metric", "m"],
        ["q", "--file", "FILE", "--url", "http://127.0.0.1:1"],
        ["q", "FILE"],
        ["q", "--file", "no such file"],
    ],
)
def test_wrong_calls_are_usage_errors(files: list[str], arguments: list[str]) -> None:
    given = [files[0] if argument == "FILE" else argument for argument in arguments]
    result = CliRunner().invoke(report, given, standalone_mode=False)
    assert type(result.exception).__name__ in ("UsageError", "BadParameter")


def test_a_queue_that_is_not_in_the_files_is_an_error(files: list[str]) -> None:
    result = call("misspelt", "--file", *files, "--fail-under", "0.1")
    assert (result.exit_code, result.stderr) == (64, "queue 'misspelt' not found; existing: 'a/b ü'\n")


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(b"\x1f\x8bnot an archive")
    assert call("q", "--file", str(path), "--fail-under", "0.1").exit_code == 3


def test_a_queue_in_which_nothing_stands_is_not_listed_and_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    events: list[Fact] = [
        Annotation(AT, "1", "gone", "item", criterion="tone", thumbs="up"),
        Annotation(AT + 1, "2", "gone", "item", criterion="tone", deleted=True),
        *facts(1, 0, queue="stays"),
    ]
    path.write_bytes(b"".join(encode(fact) + b"\n" for fact in events))
    result = call("--file", str(path))
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["queue", "stays"]
    assert call("gone", "--file", str(path), "--json").exit_code == 0


def test_json_goes_to_standard_output_alone(files: list[str]) -> None:
    result = call("a/b ü", "--file", *files, "--json", "--fail-under", "0.78")
    assert json.loads(result.stdout)["queue"] == "a/b ü"
    assert (result.exit_code, result.stderr.partition(":")[0]) == (1, "below")
    assert [document["queue"] for document in json.loads(call("--file", files[0], "--json").stdout)] == ["a/b ü"]


def test_without_a_gate_the_numbers_are_shown(files: list[str]) -> None:
    shown = call("a/b ü", "--file", *files)
    assert (shown.exit_code, "90.0 %" in shown.stdout) == (0, True)
    listed = call("--file", files[0])
    assert (listed.exit_code, "a/b ü" in listed.stdout) == (0, True)


# ---- a view


class Answers(HTTPServer):
    """A server that replies to a path with the configured answer, or 404, and records requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def set(self, path: str, body: Any, status: int = 200, **headers: str) -> None:
        self.answers[path] = status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Authorization"]))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b"nothing here"))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def view() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


PATH = "/api/v1/queues/a%2Fb%20%C3%BC?window=7d"
DOCUMENT = Recount(facts(36, 4)).document("a/b ü")


def queue_list(queue: str, following: str | None = None, *, ready: bool = True) -> dict[str, Any]:
    """A page of the view's list of queues, with one of them."""
    return {
        "as_of": None,
        "stale": False,
        "stale_reason": None,
        "ready": ready,
        "total": 1,
        "left_out": 0,
        "failed": [],
        "queues": [{"queue": queue, "url": None, "revision": 1, "cards": DOCUMENT["cards"]}],
        "next": following,
    }


def without(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    assert set(names) <= set(fields)
    return {name: value for name, value in fields.items() if name not in names}


def ask(view: Answers, *options: str) -> Result:
    return call("a/b ü", "--url", view.url, "--window", "7d", "--fail-under", "0.7", *options)


def test_the_gate_decides_on_the_document_of_a_view(view: Answers) -> None:
    view.set(PATH, DOCUMENT)
    assert ask(view).exit_code == 0
    assert ask(view, "--bound", "point", "--min-items", "41").exit_code == 2
    assert call("a/b ü", "--url", f"{view.url}/", "--window", "7d", "--fail-under", "0.99").exit_code == 1
    assert [path for path, _ in view.requests] == [PATH] * 3


def test_documents_of_an_earlier_release_lack_the_fields_that_were_added_since(view: Answers) -> None:
    criteria = [without(criterion, "metrics_left_out") for criterion in DOCUMENT["criteria"]]
    view.set(PATH, {**DOCUMENT, "criteria": criteria})
    view.set(PATH.replace("7d", "all"), {**DOCUMENT, "criteria": criteria})
    assert ask(view).exit_code == 0
    view.set("/api/v1/queues", without(queue_list("a/b ü"), "stale_reason", "failed"))
    result = call("--url", view.url)
    assert (result.exit_code, [line.split()[0] for line in result.stdout.splitlines()]) == (0, ["queue", "a/b"])
    recount = Recount(facts(36, 4))
    ceiling = RecountInsights(recount, CountingRules()).insights(DOCUMENT, DOCUMENT["criteria"][0]).ceiling
    view.set(f"{PATH.replace('?', '/ceiling?')}&criterion=overall", without(ceiling, "metrics_left_out"))
    with View(view.url) as client:
        assert client.ceiling("a/b ü", "7d", "overall")["metrics"] == ceiling["metrics"]


def test_what_waits_and_what_is_read_again_is_printed(view: Answers) -> None:
    waiting = {
        "evaluations": 12, "items": None, "metrics": 2, "rebuilding": 5, "missing": 0, "since": None,
        "sample": ["t1"], "judges": [],
    }  # fmt: skip
    view.set("/api/v1/queues", {**queue_list("first", "5"), "waiting": waiting})
    view.set("/api/v1/queues?cursor=5", {**queue_list("second"), "waiting": {**waiting, "evaluations": 99}})
    lines = call("--url", view.url).stdout.splitlines()
    assert lines[-2] == "12 evaluations by 2 metrics wait for an annotation of their items, such as t1."
    assert lines[-1].startswith("Workers read 5 offsets of the evaluations topic again")
    view.set("/api/v1/queues", {**queue_list("first"), "waiting": None})
    assert "wait" not in call("--url", view.url).stdout
    view.set(PATH, {**DOCUMENT, "rebuilding": 7})
    result = ask(view)
    assert (result.exit_code, "Workers read 7 offsets" in result.stderr) == (0, True)


def test_unknown_fields_of_a_later_release_are_ignored(view: Answers) -> None:
    view.set(PATH, {**DOCUMENT, "more": [1]})
    assert ask(view).exit_code == 0


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        ({"type": "about:blank", "title": "", "status": 401, "detail": "a token is needed"}, 401, {}),
        (DOCUMENT, 404, {}),
        (DOCUMENT, 500, {}),
        (b"<html>", 200, {}),
        (b"", 200, {}),
        (b"\xff", 200, {}),
        ({}, 200, {}),
        ([DOCUMENT], 200, {}),
        ({**DOCUMENT, "schema": "alignment.snapshot.v3"}, 200, {}),
        ({**DOCUMENT, "criteria": None}, 200, {}),
        (b"{}", 200, {"Content-Length": "100"}),
        (b"", 302, {"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_any_other_reply_counts_as_unreachable(view: Answers, body: Any, status: int, headers: dict[str, str]) -> None:
    view.set(PATH, body, status, **headers)
    result = ask(view)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"{view.url}{PATH}: ")
    assert result.stdout == ""


def test_the_error_message_of_the_view_is_printed(view: Answers) -> None:
    view.set(PATH, {"type": "", "title": "", "status": 401, "detail": "a token is needed"}, 401)
    assert "401" in ask(view).stderr
    assert "a token is needed" in ask(view).stderr


@pytest.mark.parametrize(("ready", "code"), [(False, 3), (True, 64)])
def test_an_unknown_name_depends_on_whether_the_view_has_read_all_events(view: Answers, ready: bool, code: int) -> None:
    listed = queue_list("a/b u", ready=ready)
    view.set("/api/v1/queues", listed)
    view.set("/api/v1/queues?limit=1", listed)
    view.set(PATH, {"type": "", "title": "", "status": 404, "detail": "queue not found"}, 404)
    result = ask(view)
    assert (result.exit_code, "existing: 'a/b u'" in result.stderr) == (code, ready)
    view.set(PATH, DOCUMENT)
    view.set(PATH.replace("7d", "all"), DOCUMENT)
    result = ask(view, "--metric", "Relevance")
    assert (result.exit_code, "existing: 'relevance'" in result.stderr) == (code, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/passwd", "http://[", "nothing", "http://a b"])
def test_a_missing_view_counts_as_unreachable(url: str) -> None:
    result = call("q", "--url", url, "--fail-under", "0.1")
    assert (result.exit_code, result.exception.__class__) == (3, SystemExit)
    assert url in result.stderr


def test_the_token_is_sent_and_never_to_where_a_redirect_leads(view: Answers, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    view.set(PATH, b"", 302, Location=f"{view.url}/elsewhere")
    assert ask(view, "--token-file", str(token)).exit_code == 3
    assert view.requests == [(PATH, "Bearer 0123456789abcdef0123456789abcdef")]


def test_address_and_token_come_from_the_settings_file(view: Answers, tmp_path: Path) -> None:
    token, config = tmp_path / "token", tmp_path / "settings.toml"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    config.write_text(f'http = "0.0.0.0:{view.server_port}"\ntoken_file = "{token}"\n')
    view.set(PATH, DOCUMENT)
    result = call("a/b ü", "--window", "7d", "--fail-under", "0.7", EVAL_ALIGNMENT_CONFIG=str(config))
    assert result.exit_code == 0
    assert view.requests == [(PATH, "Bearer 0123456789abcdef0123456789abcdef")]


def test_the_list_of_a_view_is_read_page_by_page(view: Answers) -> None:
    view.set("/api/v1/queues", queue_list("first", "5"))
    view.set("/api/v1/queues?cursor=5", queue_list("second"))
    result = call("--url", view.url)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["queue", "first", "second"]
