"""Verifies who sent a webhook: by its signature, or by a secret in a header.

Signatures are HMAC-SHA256 over the body as it came, after its content encoding is removed: a sender that compresses
signs what it compresses. What precedes the body in the signed bytes, and the key, differ by scheme:

- `standard` (Standard Webhooks): `ID.TIMESTAMP.`, from the headers `webhook-id` and `webhook-timestamp`; the key is the
  base64 after `whsec_`. Header `webhook-signature`.
- `langfuse`: `TIMESTAMP.`, from the header of the signature, `x-langfuse-signature`; the key is the secret.
- `mlflow`: `ID.TIMESTAMP.`, from `x-mlflow-delivery-id` and `x-mlflow-timestamp`; the key is the secret. Header
  `x-mlflow-signature`.
- `shared` signs nothing: the header has the secret.

A secret file has one secret per line, so that a secret can be replaced without a pause. Blank lines and lines that
begin with `#` are skipped.
"""

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from sinks.access import TOKEN_BYTES
from sources.registry import TOOLS, webhook_scheme
from sources.rules import SourceSettings, WebhookScheme
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.secret_files import invalid_secret, read_secret_file

TOLERANCE_SECONDS: Final = 300
"""How far the time of a signature may be from this machine's, in both directions."""

_STANDARD_PREFIX: Final = "whsec_"
_DIGITS: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_BEARER: Final = "bearer "


class SecretFileError(EvalAlignmentError):
    """The secret file of a source cannot be used. The message names what to do, and has no secret."""

    exit_code = ExitCode.USAGE


def _base64_key(secret: str) -> bytes:
    encoded = secret.removeprefix(_STANDARD_PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        message = f"not base64 after {_STANDARD_PREFIX!r}: copy the secret of the webhook as the tool shows it"
        raise ValueError(message) from None


def _base64_digest(digest: bytes) -> bytes:
    return base64.b64encode(digest)


def _hex_digest(digest: bytes) -> bytes:
    return digest.hex().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignatureScheme:
    """One row of the table of signatures."""

    signature: str
    """Header with the signatures."""
    separator: str
    """What separates the signatures, and further fields, in that header."""
    mark: str
    """What a signature of the known version begins with. Others are skipped."""
    id: str | None = None
    """Header with the id, which is signed."""
    timestamp: str | None = None
    """Header with the time in seconds; None: field `t` of the header with the signatures."""
    key: Callable[[str], bytes] = str.encode
    """The key that a secret stands for. Raises ValueError."""
    key_bytes: int = 16
    """Minimum length of a key."""
    encode: Callable[[bytes], bytes] = _base64_digest


_SIGNATURES: Final[Mapping[WebhookScheme, _SignatureScheme]] = {
    "standard": _SignatureScheme(
        signature="webhook-signature",
        separator=" ",
        mark="v1,",
        id="webhook-id",
        timestamp="webhook-timestamp",
        key=_base64_key,
        # As the specification has it.
        key_bytes=24,
    ),
    "langfuse": _SignatureScheme(
        signature="x-langfuse-signature", separator=",", mark="v1=", encode=_hex_digest
    ),
    "mlflow": _SignatureScheme(
        signature="x-mlflow-signature",
        separator=" ",
        mark="v1,",
        id="x-mlflow-delivery-id",
        timestamp="x-mlflow-timestamp",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies the webhooks of one source.

    Its representation has no secret.
    """

    scheme: WebhookScheme
    header: str
    """Of the scheme `shared`: the header with the secret."""
    _keys: Sequence[bytes] = field(repr=False)

    @classmethod
    def from_settings(cls, name: str, settings: SourceSettings) -> "Verifier | None":
        """The verifier of the source with this name; None for a source without a secret file.

        Raises SecretFileError when the file cannot be read, has no secret, or one is too short or invalid.
        """
        if settings.secret_file is None:
            return None
        scheme = webhook_scheme(settings)
        keys = _read_keys(f"sources.{name}.secret_file", settings.secret_file, scheme)
        return cls(scheme, (settings.secret_header or TOOLS[settings.tool].key_header).lower(), keys)

    @property
    def signs(self) -> bool:
        """Whether the scheme signs the body."""
        return self.scheme in _SIGNATURES

    def verify_headers(self, headers: Headers, now_s: float) -> str | None:
        """As `verify`, before the body has come: a signature is only known to be fresh then."""
        signed = _SIGNATURES.get(self.scheme)
        if signed is None:
            return self._shared(headers)
        found = _find_signature(signed, headers, now_s)
        return found if isinstance(found, str) else None

    def verify(self, headers: Headers, body: bytes, now_s: float) -> str | None:
        """Why a webhook is not accepted, without a value of it; None when it is.

        Args:
            headers: of the request.
            body: as it came, without its content encoding.
            now_s: this machine's time, in seconds since 1970.
        """
        signed = _SIGNATURES.get(self.scheme)
        if signed is None:
            return self._shared(headers)
        found = _find_signature(signed, headers, now_s)
        if isinstance(found, str):
            return found
        expected = [signed.encode(_digest(key, found.prefix, body)) for key in self._keys]
        equal = [hmac.compare_digest(one, other) for one in expected for other in found.signatures]
        return None if any(equal) else "the signature does not match the body and the secrets of the source"

    def _shared(self, headers: Headers) -> str | None:
        value = _only(headers, self.header)
        if value is None:
            return f"expected one header {self.header} with the secret of the source"
        if value[: len(_BEARER)].lower() == _BEARER:
            value = value[len(_BEARER) :]
        # Every secret is compared, so that the time does not depend on which one was sent.
        equal = [hmac.compare_digest(_as_sent(value.strip()), key) for key in self._keys]
        return None if any(equal) else f"the secret in header {self.header} is wrong"


class _FoundSignature(NamedTuple):
    prefix: bytes
    """What precedes the body in the signed bytes."""
    signatures: Sequence[bytes]


def _find_signature(scheme: _SignatureScheme, headers: Headers, now_s: float) -> _FoundSignature | str:
    """What the headers have, or why it is not accepted."""
    values: dict[str, str] = {}
    for name in filter(None, (scheme.id, scheme.timestamp, scheme.signature)):
        if not (value := _only(headers, name)):
            return f"expected one header {name}"
        values[name] = value
    parts = [part.strip() for part in values[scheme.signature].split(scheme.separator)]
    if scheme.timestamp is None:
        timestamp = next((part[2:] for part in parts if part.startswith("t=")), "")
    else:
        timestamp = values[scheme.timestamp]
    if not _DIGITS.fullmatch(timestamp):
        return "the time of the signature is not in seconds"
    if abs(now_s - int(timestamp)) > TOLERANCE_SECONDS:
        return (
            f"the time of the signature is more than {TOLERANCE_SECONDS} s away from this machine's clock: the "
            "webhook was sent again, was late, or one of the clocks is wrong"
        )
    signatures = [_as_sent(part.removeprefix(scheme.mark)) for part in parts if part.startswith(scheme.mark)]
    if not signatures:
        return f"header {scheme.signature} has no signature that begins with {scheme.mark!r}"
    id = "" if scheme.id is None else f"{values[scheme.id]}."
    return _FoundSignature(_as_sent(f"{id}{timestamp}."), signatures)


def _digest(key: bytes, prefix: bytes, body: bytes) -> bytes:
    digest = hmac.new(key, prefix, sha256)
    digest.update(body)
    return digest.digest()


def _only(headers: Headers, name: str) -> str | None:
    """The value of a header that is sent once."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


def _as_sent(value: str) -> bytes:
    """The bytes of a header's value, which servers decode as Latin-1."""
    return value.encode("latin-1")


def _read_keys(setting: str, path: Path, scheme: WebhookScheme) -> Sequence[bytes]:
    try:
        lines = read_secret_file(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise SecretFileError(f"{setting}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SecretFileError(f"{setting}: {path} is not UTF-8: expected one secret per line") from None
    except ValueError as error:
        raise SecretFileError(f"{setting}: {path} is {error}: expected one secret per line") from None
    keys = [
        _key(f"{setting}: line {number} of {path}", line.strip(), scheme)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise SecretFileError(f"{setting}: {path} is empty: write the secret of the webhook into it, one per line")
    return keys


def _key(place: str, secret: str, scheme: WebhookScheme) -> bytes:
    signed = _SIGNATURES.get(scheme)
    try:
        key = secret.encode() if signed is None else signed.key(secret)
    except ValueError as error:
        raise SecretFileError(f"{place}: {error}") from None
    if signed is None and (why := invalid_secret(key)) is not None:
        raise SecretFileError(f"{place}: the secret {why}")
    if not secret.isprintable():
        raise SecretFileError(f"{place}: the secret has a character that is not printable")
    least = TOKEN_BYTES if signed is None else signed.key_bytes
    if len(key) < least:
        raise SecretFileError(
            f"{place}: the secret has {len(key)} bytes, expected at least {least} for the scheme {scheme!r}: set a "
            "longer one in the tool and in this file"
        )
    return key
