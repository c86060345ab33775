"""The claim: the row that a worker appends to a ledger partition when it takes it over.

Whatever is published after a claim has a higher ledger position than anything a predecessor can ever publish, and a
change of policy, of P or of the schema is visible in the log. The ledger id is made by the first claim of all: the
owner of partition 0 makes it, the owners of other empty partitions wait for it.
"""

import secrets
from typing import Final

import msgspec

from aggregator.policy import Policy
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

CLAIM_KEY: Final = b'["claim"]'
SCHEMA: Final = 1
"""Version of ledger rows and tallies. A worker refuses a ledger with a higher one."""


class Claim(msgspec.Struct, frozen=True):
    """Ledger id, P, policy, schema version, who claims and when (milliseconds since epoch)."""

    ledger: str
    partitions: int
    policy: Policy
    schema: int
    owner: str
    at: int

    def encode(self) -> bytes:
        """The ledger value."""
        return _encode(self)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Claim).decode


def new_ledger_id() -> str:
    """A random id."""
    return secrets.token_hex(8)


def parse_claim(value: bytes) -> Claim:
    """The claim of a ledger value. Raises ValueError when it is none."""
    return _decode(value)


def check_schema(claim: Claim, where: str) -> None:
    """Raise FatalError when a newer release claimed the ledger partition `where`."""
    if claim.schema > SCHEMA:
        raise FatalError(
            ExitCode.NEWER_SCHEMA, f"{where} has schema {claim.schema}, this release supports up to {SCHEMA}"
        )


def check_claim(claim: Claim, partitions: int, where: str) -> None:
    """Raise FatalError when this worker must not continue the ledger partition `where`, which has this claim."""
    check_schema(claim, where)
    if claim.partitions != partitions:
        raise FatalError(
            ExitCode.PARTITIONS_CHANGED,
            f"{where} was claimed with P = {claim.partitions}, the topics now have {partitions} partitions",
        )
