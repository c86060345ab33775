"""Webhooks are taken only with a fresh signature, or the shared secret, of their source."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from ingest.signatures import TOLERANCE_SECONDS, SecretFileError, Verifier
from sources.registry import source_problems
from sources.rules import SourceSettings
from streams.runtime.exit_codes import ExitCode

NOW = 1_800_000_000
BODY = b'{"type":"response.created","data":{"id":"r-1"}}'
STANDARD_SECRET = "whsec_YW4gaW52ZW50ZWQga2V5IG9mIDMyIGJ5dGVzIGhlcmU="
LANGFUSE_SECRET = "lf-whsec_invented-0001"
MLFLOW_SECRET = "an invented secret"
SHARED_SECRET = "an-invented-secret-of-40-bytes-in-header"
OWN_HEADER = {"secret_header": "X-Own-Secret"}
# Made by `openssl dgst -sha256 -hmac`.
STANDARD = {
    "webhook-id": "msg_1",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,QKRKETwaAsFHYUkbqFtUQveJLXQMnX9BOBATfcy8+fY=",
}
LANGFUSE = {
    "x-langfuse-signature": f"t={NOW},v1=081326d93a5333da7b250da16f28ad4191baca67856b1e67d051804e51395410",
}
MLFLOW = {
    "X-MLflow-Delivery-Id": "d-1",
    "X-MLflow-Timestamp": str(NOW),
    "X-MLflow-Signature": "v1,KGpFSy9C79OkN4ZWQj7SlLhs7kmiHbTfh1X2Qz8BZT0=",
}
SIGNED = [
    ("argilla", STANDARD_SECRET, STANDARD),
    ("langfuse", LANGFUSE_SECRET, LANGFUSE),
    ("mlflow", MLFLOW_SECRET, MLFLOW),
]


def configured(**settings: Any) -> SourceSettings:
    return SourceSettings.model_validate(settings)


def verifier(path: Path, tool: str, *secrets: str, **settings: Any) -> Verifier:
    file = path / "secrets"
    file.write_text("\n".join(secrets))
    made = Verifier.from_settings("mine", configured(tool=tool, secret_file=file, **settings))
    assert made is not None
    return made


def test_vectors_of_the_tools(source_payloads: Path, tmp_path: Path) -> None:
    vectors = json.loads((source_payloads / "signatures.json").read_text())
    wrong = {}
    for case in vectors["cases"]:
        signed = verifier(tmp_path, "json", case["secret"], scheme=case["scheme"])
        body = case.get("body", vectors[case.get("use", "body")]).encode()
        reason = signed.verify(Headers(case["headers"]), body, case.get("now", vectors["now"]))
        if (reason is None) is not case["valid"]:
            wrong[case["name"]] = reason
    assert wrong == {}
    assert len(vectors["cases"]) == 18 and vectors["tolerance_s"] == TOLERANCE_SECONDS


@pytest.mark.parametrize(("tool", "secret", "headers"), SIGNED)
def test_the_scheme_is_the_tools(tmp_path: Path, tool: str, secret: str, headers: dict[str, str]) -> None:
    signed = verifier(tmp_path, tool, secret)
    assert signed.verify(Headers(headers), BODY, NOW) is None
    assert signed.verify(Headers(headers), BODY + b" ", NOW) is not None


@pytest.mark.parametrize(("tool", "secret", "headers"), SIGNED)
def test_a_signature_is_fresh_for_five_minutes(tmp_path: Path, tool: str, secret: str, headers: dict[str, str]) -> None:
    signed = verifier(tmp_path, tool, secret)
    for late in (-TOLERANCE_SECONDS, TOLERANCE_SECONDS):
        assert signed.verify(Headers(headers), BODY, NOW + late) is None
    for late in (-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1):
        reason = signed.verify(Headers(headers), BODY, NOW + late)
        assert reason is not None and "more than 300 s away" in reason


def test_the_signed_bytes_are_unpacked_ones(tmp_path: Path) -> None:
    signed = verifier(tmp_path, "argilla", STANDARD_SECRET)
    assert signed.verify(Headers(STANDARD), gzip.compress(BODY), NOW) is not None
    # Parsing and writing again changes bytes.
    assert signed.verify(Headers(STANDARD), json.dumps(json.loads(BODY)).encode(), NOW) is not None


@pytest.mark.parametrize(("tool", "secret", "headers"), SIGNED)
def test_every_secret_of_the_file_is_valid(tmp_path: Path, tool: str, secret: str, headers: dict[str, str]) -> None:
    other = f"whsec_{'A' * 44}" if tool == "argilla" else "another invented secret"
    for lines in ((other, secret), (secret, other), ("# both hold while it is replaced", "", other, f" {secret}\r")):
        assert verifier(tmp_path, tool, *lines).verify(Headers(headers), BODY, NOW) is None
    assert verifier(tmp_path, tool, other).verify(Headers(headers), BODY, NOW) is not None


@pytest.mark.parametrize(("tool", "secret", "headers"), SIGNED)
@pytest.mark.parametrize(
    "value", ["", " ", "v1", "v1,", "v1=", "v2,AAAA", "t=", "t=x,v1=", ",", "\xe9", "v1,\xff", "=" * 99]
)
def test_a_malformed_header_is_refused(
    tmp_path: Path, tool: str, secret: str, headers: dict[str, str], value: str
) -> None:
    signed = verifier(tmp_path, tool, secret)
    for name in headers:
        if name in {"webhook-id", "X-MLflow-Delivery-Id"} and not value:
            continue
        assert signed.verify(Headers({**headers, name: value}), BODY, NOW) is not None
        assert signed.verify(Headers({key: headers[key] for key in headers if key != name}), BODY, NOW) is not None


@pytest.mark.parametrize(
    "time", ["1.8e9", "-1800000000", "+1800000000", "18_00000000", "\xb2", "1800000000.0", "9" * 400]
)
def test_a_time_is_whole_seconds(tmp_path: Path, time: str) -> None:
    signed = verifier(tmp_path, "argilla", STANDARD_SECRET)
    assert signed.verify(Headers({**STANDARD, "webhook-timestamp": time}), BODY, NOW) == (
        "the time of the signature is not in seconds"
    )


def test_a_header_that_is_sent_twice_is_refused(tmp_path: Path) -> None:
    raw = [(name.encode(), value.encode()) for name, value in STANDARD.items()]
    signed = verifier(tmp_path, "argilla", STANDARD_SECRET)
    assert signed.verify(Headers(raw=raw), BODY, NOW) is None
    for pair in raw:
        assert signed.verify(Headers(raw=[*raw, pair]), BODY, NOW) == f"expected one header {pair[0].decode()}"


def test_a_shared_secret_is_in_the_header_of_authorization(tmp_path: Path) -> None:
    shared = verifier(tmp_path, "labelstudio", SHARED_SECRET)
    for value in (SHARED_SECRET, f"Bearer {SHARED_SECRET}", f"bearer  {SHARED_SECRET} "):
        assert shared.verify(Headers({"Authorization": value}), BODY, NOW) is None
    for value in ("", "Bearer", "Bearer ", SHARED_SECRET[:-1], f"{SHARED_SECRET}x", f"Basic {SHARED_SECRET}", "\xff"):
        assert shared.verify(Headers({"Authorization": value}), BODY, NOW) is not None
    assert shared.verify(Headers({"X-Secret": SHARED_SECRET}), BODY, NOW) is not None


def test_a_shared_secret_is_in_the_header_of_the_settings(tmp_path: Path) -> None:
    shared = verifier(tmp_path, "datadog", "# keys", SHARED_SECRET, f"{SHARED_SECRET}-2", **OWN_HEADER)
    assert shared.verify(Headers({"x-own-secret": SHARED_SECRET}), BODY, NOW) is None
    assert shared.verify(Headers({"x-own-secret": f"{SHARED_SECRET}-2"}), BODY, NOW) is None
    assert shared.verify(Headers({"authorization": f"Bearer {SHARED_SECRET}"}), BODY, NOW) is not None


@pytest.mark.parametrize(
    ("tool", "header"),
    [("datadog", "DD-API-KEY"), ("confident", "CONFIDENT_API_KEY"), ("labelstudio", "Authorization")],
)
def test_a_shared_secret_is_in_the_header_of_the_tool(tmp_path: Path, tool: str, header: str) -> None:
    shared = verifier(tmp_path, tool, SHARED_SECRET)
    assert shared.verify(Headers({header: SHARED_SECRET}), BODY, NOW) is None
    assert shared.verify(Headers({"x-other": SHARED_SECRET}), BODY, NOW) is not None


def test_reasons_and_representations_have_no_secret(tmp_path: Path) -> None:
    for tool, secret, headers in [*SIGNED, ("datadog", SHARED_SECRET, {"authorization": "wrong-and-sent"})]:
        made = verifier(tmp_path, tool, secret)
        reason = str(made.verify(Headers(headers), b"private", NOW))
        assert secret not in repr(made) + reason and "private" not in reason
        assert not [value for value in headers.values() if value in reason]


def test_a_source_without_secrets_has_no_verifier() -> None:
    assert Verifier.from_settings("mine", configured(tool="argilla")) is None


@pytest.mark.parametrize(
    ("tool", "content", "problem"),
    [
        ("argilla", b"", "is empty: write the secret"),
        ("argilla", b"\n# only this\n \n", "is empty: write the secret"),
        ("argilla", b"whsec_", "line 1 of {path}: the secret has 0 bytes, expected at least 24"),
        ("argilla", b"\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "line 2 of {path}: the secret has 22 bytes"),
        ("argilla", b"whsec_not base64!", "line 1 of {path}: not base64 after 'whsec_'"),
        ("argilla", "whsec_\u00e9".encode(), "line 1 of {path}: not base64 after 'whsec_'"),
        ("mlflow", b"short", "line 1 of {path}: the secret has 5 bytes, expected at least 16"),
        ("labelstudio", b"x" * 31, "line 1 of {path}: the secret has 31 bytes, expected at least 32"),
        ("labelstudio", b"\xff" * 40, "is not UTF-8"),
        ("labelstudio", b"a secret " * 5, "line 1 of {path}: the secret has a character that is not printable ASCII"),
        ("labelstudio", b"s" * 5_000, "line 1 of {path}: the secret has 5,000 bytes, expected at most 4,096"),
        ("mlflow", b"s" * 40 + b"\0", "line 1 of {path}: the secret has a character that is not printable"),
        ("mlflow", b"#" * (1 << 17), "larger than 65,536 bytes"),
        ("labelstudio", None, "cannot read {path}: No such file"),
    ],
)
def test_an_unusable_secret_file_is_a_usage_error(
    tmp_path: Path, tool: str, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "secrets"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretFileError) as raised:
        Verifier.from_settings("mine", configured(tool=tool, secret_file=path))
    assert raised.value.exit_code is ExitCode.USAGE
    message = str(raised.value)
    assert message.startswith("sources.mine.secret_file: ") and problem.format(path=path) in message
    # Not even a part of a secret.
    assert not content or len(content) < 10 or content.decode(errors="replace").strip() not in message


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"scheme": "shared"}, "scheme has no effect without `secret_file`"),
        ({"secret_header": "X-Secret"}, "secret_header has no effect without `secret_file`"),
        (
            {"secret_file": "s", "secret_header": "X-Secret"},
            "secret_header is for the scheme `shared`, not for `standard`: set `scheme`, or leave the header out",
        ),
    ],
)
def test_inconsistent_settings_are_named(settings: dict[str, Any], problem: str) -> None:
    source = configured(tool="argilla", **settings)
    assert list(source_problems({"a": source})) == [f"sources.a.{problem}"]


def test_settings_that_agree_have_no_problem() -> None:
    settings = {"secret_file": "s", "secret_header": "X-Secret", "scheme": "shared"}
    assert list(source_problems({"a": configured(tool="argilla", **settings)})) == []


def test_otlp_has_one_source() -> None:
    sources = {"a": configured(tool="otel"), "b": configured(tool="otel", id_prefix="b")}
    assert list(source_problems(sources)) == [
        "sources.b.tool: source 'a' is OpenTelemetry too, and OTLP comes to one: leave one of them out"
    ]


@pytest.mark.parametrize("name", ["", "X Secret", "X-Secret:", "Schl\u00fcssel"])
def test_a_header_has_a_name_of_http(name: str) -> None:
    settings = {"secret_file": "s", "secret_header": name}
    with pytest.raises(ValueError, match="secret_header"):
        configured(tool="labelstudio", **settings)
