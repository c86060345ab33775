"""Who may send to a source: whoever has the token of ingest, or the secret of the source.

A secret in the query of an address is not accepted: addresses are in the logs of proxies.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from ingest.limits import LARGE_BYTES
from ingest.signatures import Verifier
from sinks.access import CHALLENGE, client_address
from sources.source import ToolSource
from streams.runtime.refusals import RefusalReason, Refusals

SOURCES_PREFIX: Final = "/api/v1/sources/"
COMMAND_PATH: Final = "-/"
"""Paths under a source that begin with it are for the command, and need the token of ingest."""


def is_pushed(path: str) -> bool:
    """Whether a path is for webhooks, whose senders need not have the token of ingest."""
    name, _, rest = path.removeprefix(SOURCES_PREFIX).partition("/")
    return path.startswith(SOURCES_PREFIX) and bool(name) and not f"{rest}/".startswith(COMMAND_PATH)


def read_verifiers(sources: Mapping[str, ToolSource]) -> dict[str, Verifier]:
    """The verifiers of the sources that have a secret, by name. Raises SecretFileError."""
    found = {name: Verifier.from_settings(name, source.rules.settings) for name, source in sources.items()}
    return {name: verifier for name, verifier in found.items() if verifier is not None}


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """Verifies who sends webhooks.

    Args:
        verifiers: of the sources that have a secret, by name.
        guarded: whether ingest has tokens. Without them a source without a secret admits every client.
        refusals: counts and logs what is refused.
    """

    verifiers: Mapping[str, Verifier]
    guarded: bool
    refusals: Refusals

    def admit(self, request: Request, name: str) -> Verifier | None:
        """Verify what the headers show; returns the verifier that needs the body too, if one does.

        Raises HTTPException (401).
        """
        if "sender" in request.scope:
            return None
        verifier = self.verifiers.get(name)
        if verifier is None:
            if self.guarded:
                self.refusals.note(RefusalReason.TOKEN, client_address(request.scope))
                raise HTTPException(401, "token missing or wrong", CHALLENGE)
            return None
        self._require(request, name, verifier.verify_headers(request.headers, time.time()))
        return verifier if verifier.signs else None

    async def verify(self, verifier: Verifier, request: Request, name: str, body: bytes) -> None:
        """Verify the signature of a body. Raises HTTPException (401)."""
        check = partial(verifier.verify, request.headers, body, time.time())
        self._require(request, name, check() if len(body) <= LARGE_BYTES else await asyncio.to_thread(check))

    def _require(self, request: Request, name: str, reason: str | None) -> None:
        """Refuse a webhook for a reason; nothing of it is kept."""
        if reason is not None:
            self.refusals.note(RefusalReason.WEBHOOK, client_address(request.scope), source=name, reason=reason)
            raise HTTPException(401, f"webhook of source {name!r} refused: {reason}", CHALLENGE)
