"""The fuzzer of listeners: what is a finding for it, and the form of what it sends."""

import random

import pytest

from tests.fuzz.http import FindingError, Grammar, Wire, judge, parse
from tests.support.listeners import CONNECTIONS, statuses

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncache-control: no-store\r\ncontent-length: 4\r\n\r\n{no}"


def test_responses_are_told_apart() -> None:
    received = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + CHUNKED + b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + REFUSED
    )
    responses = list(parse(received, ["GET", "GET", "HEAD", "HEAD"]))
    assert [(response.status, response.body) for response in responses] == [
        (200, b"ok"),
        (200, b"ok"),
        (200, b""),
        (400, b"{no}"),
    ]
    assert statuses(received) == [100, 200, 200, 200, 400]


@pytest.mark.parametrize(
    ("received", "finding"),
    [
        (OK + OK, "2 responses to 1 requests"),
        (OK.replace(b"ok", b"/smuggled-by-the-fuzzer").replace(b"th: 2", b"th: 23"), "read as a request"),
        (REFUSED.replace(b"400 Bad Request", b"500 Internal Server Error"), "status 500"),
        (OK.replace(b"content", b"server: x\r\ncontent"), "names its server"),
        (REFUSED.replace(b"no-store", b"public"), "may keep an error"),
        (b"junk" + OK, "no response"),
        (OK.replace(b"content", b"bad header\r\ncontent"), "no header"),
        (CHUNKED.replace(b"\r\n2\r\n", b"\r\nZ\r\n"), "no chunk"),
    ],
)
def test_what_a_listener_must_not_do_is_a_finding(received: bytes, finding: str) -> None:
    with pytest.raises(FindingError, match=finding):
        judge(Wire(b"", ["GET"]), received)


def test_a_response_for_each_request_is_no_finding() -> None:
    judge(Wire(b"", ["GET", "GET", "HEAD"]), OK + CHUNKED + REFUSED)
    judge(Wire(b"", ["GET"]), b"")


@pytest.mark.parametrize("name", CONNECTIONS)
def test_the_grammar_makes_all_kinds(name: str) -> None:
    grammar = Grammar(name, random.Random(1))
    wires = [grammar.wire() for _ in range(300)]
    assert {(wire.whole, wire.clear) for wire in wires} == {(True, True), (True, False), (False, False)}
    assert all(wire.data.endswith(b"Connection: close\r\n\r\n") for wire in wires if wire.clear)
    assert any(b"chunked" in wire.data for wire in wires if wire.clear)
    assert all(b"\r\n\r\n" not in grammar.half_a_head() for _ in range(100))
