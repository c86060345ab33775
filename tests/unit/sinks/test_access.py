"""Rules of addresses, tokens and hosts for every HTTP server."""

import base64
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from sinks.access import TOKEN_BYTES, AccessMiddleware, AccessToken, BindError, guard_bind, is_loopback, read_token
from sinks.api.services import Services
from sinks.app import create_app
from streams.runtime.refusals import Refusals

ANY = "0.0.0.0"  # noqa: S104 -- the subject of the test
TOKEN = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
TOKENS = (AccessToken("ci", TOKEN), AccessToken("tool", OTHER))


def basic(password: bytes) -> str:
    return "Basic " + base64.b64encode(b"anybody:" + password).decode()


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope.get("sender", "nobody"))(scope, receive, send)


def client(
    *,
    tokens: Sequence[AccessToken] = (),
    allowed_hosts: tuple[str, ...] = (),
    registry: CollectorRegistry | None = None,
) -> httpx.AsyncClient:
    guard = AccessMiddleware(
        served, refusals=Refusals(registry or CollectorRegistry()), tokens=tokens, allowed_hosts=allowed_hosts
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://localhost:8390")


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (ANY, False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.test", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_a_bind_beyond_loopback_needs_a_token_or_an_explicit_setting(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_bytes(TOKEN + b"\n")
    assert guard_bind("127.0.0.1", None, allow_open=False) == ()
    assert guard_bind(ANY, None, allow_open=True) == ()
    assert guard_bind(ANY, token_file, allow_open=False) == [("", TOKEN)]
    assert guard_bind("127.0.0.1", token_file, allow_open=True) == [("", TOKEN)]
    with pytest.raises(BindError, match="token_file"):
        guard_bind(ANY, None, allow_open=False)


def test_a_token_that_is_short_or_missing_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_bytes(TOKEN[: TOKEN_BYTES - 1])
    with pytest.raises(BindError, match="31 bytes") as error:
        guard_bind("127.0.0.1", short, allow_open=False)
    assert short.read_text() not in str(error.value)
    with pytest.raises(BindError, match="No such file"):
        guard_bind("127.0.0.1", tmp_path / "nowhere", allow_open=False)


def test_a_token_file_has_a_token_per_line_with_or_without_a_name(tmp_path: Path) -> None:
    token_file = tmp_path / "tokens"
    token_file.write_bytes(b"# senders\r\nci %b\r\n\n  tool\t%b  \nci %b" % (TOKEN, OTHER, OTHER))
    tokens = guard_bind(ANY, token_file, allow_open=False)
    assert tokens == [("ci", TOKEN), ("tool", OTHER), ("ci", OTHER)]
    assert read_token(token_file) == TOKEN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n# only this\n", "is empty"),
        (b"ci " + TOKEN + b"\ntool short", "line 2 of .* has 5 bytes"),
        (b"our tool " + TOKEN, "line 1 of .*expected NAME TOKEN"),
        ("é ".encode() + TOKEN, "line 1 of .*expected NAME TOKEN"),
        (b"\xff " + TOKEN, "line 1 of .*expected NAME TOKEN"),
        (TOKEN + b"\0", "line 1 of .* not printable ASCII"),
        (b"\xef\xbb\xbf" + TOKEN, "line 1 of .* not printable ASCII"),
        (b"\xff" * 40, "line 1 of .* not printable ASCII"),
        (TOKEN[:20] + b"\n" + TOKEN[20:], "line 1 of .* has 20 bytes"),
        (TOKEN * 129, "has 4,128 bytes, expected at most 4,096"),
        (TOKEN + b"\n" * (1 << 17), "larger than 65,536 bytes"),
    ],
)
def test_an_invalid_line_of_a_token_file_is_named_without_its_token(
    tmp_path: Path, content: bytes, message: str
) -> None:
    token_file = tmp_path / "tokens"
    token_file.write_bytes(content)
    with pytest.raises(BindError, match=message) as error:
        guard_bind(ANY, token_file, allow_open=False)
    assert TOKEN.decode() not in str(error.value)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN.decode()}", 200),
        (f"bearer {TOKEN.decode()}", 200),
        (basic(TOKEN), 200),
        (None, 401),
        ("Bearer", 401),
        ("Bearer " + TOKEN.decode()[:-1], 401),
        (basic(TOKEN + b"x"), 401),
        ("Basic !!!", 401),
        (TOKEN.decode(), 401),
        ("Bearer é", 401),
    ],
)
async def test_a_request_without_the_token_is_refused(authorization: str | None, status: int) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1").decode("latin-1")}
    async with client(tokens=TOKENS) as asking:
        answer = await asking.get("/metrics", headers=httpx.Headers(headers, encoding="latin-1"))
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_the_name_of_the_token_is_known_to_the_application() -> None:
    async with client(tokens=TOKENS) as asking:
        for name, token in TOKENS:
            assert (await asking.get("/", headers={"Authorization": f"Bearer {token.decode()}"})).text == name
    async with client() as asking:
        assert (await asking.get("/")).text == "nobody"


async def test_health_endpoints_need_no_token_and_no_known_host() -> None:
    async with client(tokens=TOKENS) as asking:
        for headers in ({}, {"Host": "10.1.2.3:8390"}):
            assert (await asking.get("/healthz", headers=headers)).status_code == 200
            assert (await asking.get("/readyz", headers=headers)).status_code == 200
        assert (await asking.get("/readyz/more")).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8390", 200),
        ("[::1]:8390", 200),
        ("evals.example.test", 200),
        ("EVALS.example.test:443", 200),
        ("a.wild.test", 200),
        ("[fd00::1]:8390", 200),
        ("[FD00::2]", 200),
        ("[fd00::3]:8390", 400),
        ("wild.test", 400),
        ("evil.test", 400),
        ("localhost.evil.test", 400),
        ("localhost:", 200),
        ("localhost:1/v1/logs?", 400),
        ("localhost:evil.test", 400),
        ("", 400),
    ],
)
async def test_only_known_hosts_are_served(host: str, status: int) -> None:
    async with client(allowed_hosts=("evals.example.test", "*.wild.test", "fd00::1", "[fd00::2]")) as asking:
        assert (await asking.get("/", headers={"Host": host})).status_code == status


async def test_forwarded_headers_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    forwarded = {
        "X-Forwarded-Host": "localhost",
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;host=localhost",
    }
    async with client(tokens=TOKENS) as asking:
        assert (await asking.get("/", headers=forwarded)).status_code == 401
        assert (await asking.get("/", headers={**forwarded, "Host": "evil.example"})).status_code == 400
        other = {**forwarded, "X-Forwarded-Host": "evil.example", "Authorization": basic(TOKEN)}
        assert (await asking.get("/", headers=other)).status_code == 200
    transport = httpx.ASGITransport(AccessMiddleware(served, refusals=Refusals(CollectorRegistry()), tokens=TOKENS))
    transport.client = "10.9.8.7", 1
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
        assert (await asking.get("/", headers=forwarded)).status_code == 401
    assert vars(caplog.records[-1])["address"] == "10.9.8.7"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_methods_that_change_something_are_refused(method: str) -> None:
    async with client() as asking:
        answer = await asking.request(method, "/api/v1/queues")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["detail"] == "method not allowed: only GET, HEAD; events go to `eval-alignment ingest`"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_answer_carries_safe_headers(services: Services) -> None:
    transport = httpx.ASGITransport(create_app(services, TOKENS))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as asking:
        for target, authorization in (("/api/v1/queues", basic(TOKEN)), ("/api/v1/queues", ""), ("/no", basic(TOKEN))):
            headers = (await asking.get(target, headers={"Authorization": authorization})).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Content-Length": "0"}, 200),
        ("GET", {"Content-Length": "5"}, 400),
        ("HEAD", {"Content-Length": "5"}, 400),
        ("GET", {"Transfer-Encoding": "chunked"}, 400),
        ("GET", {"Transfer-Encoding": "chunked", "Content-Length": "0"}, 400),
        ("POST", {"Transfer-Encoding": "chunked", "Content-Length": "9"}, 400),
        ("POST", {"Transfer-Encoding": "chunked"}, 405),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/"])
async def test_a_body_that_nobody_reads_or_whose_end_is_unclear_is_refused(
    method: str, headers: dict[str, str], status: int, path: str
) -> None:
    registry = CollectorRegistry()
    async with client(registry=registry) as asking:
        request = asking.build_request(method, path)
        request.headers.update(headers)
        if "Transfer-Encoding" not in headers or "Content-Length" not in headers:
            request.headers.pop("Content-Length" if "Transfer-Encoding" in headers else "Transfer-Encoding", None)
        answer = await asking.send(request)
    assert answer.status_code == status
    assert (answer.headers.get("connection") == "close") == (status == 400)
    assert registry.get_sample_value("eval_alignment_http_refused_total", {"reason": "body"}) == (status == 400)


async def test_a_path_that_only_means_the_same_as_a_health_path_is_none() -> None:
    async with client(tokens=TOKENS) as asking:
        for path in ("/%68ealthz", "/healthz%2f", "/healthz/", "//healthz"):
            assert (await asking.get(path)).status_code == 401


async def test_refusals_are_counted_and_logged_once_with_an_address(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    async with client(tokens=TOKENS, registry=registry) as asking:
        for _ in range(50):
            await asking.get("/metrics", headers={"Authorization": "Bearer wrong"})
        await asking.get("/metrics", headers={"Host": "evil.test"})
    counts = {
        reason: registry.get_sample_value("eval_alignment_http_refused_total", {"reason": reason})
        for reason in ("token", "host", "body")
    }
    assert counts == {"token": 50, "host": 1, "body": 0}
    token, host = caplog.records
    assert token.getMessage() == "token missing or wrong: request refused"
    assert vars(token)["address"] == vars(host)["address"] == "127.0.0.1"
    assert "wrong" not in str(vars(token)["address"])
