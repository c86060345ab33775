"""The claim: the row that a worker appends to a ledger partition when it takes the partition over.

Everything published after a claim has a higher ledger position than anything that a predecessor can publish. A change
of policy, of P or of the schema is visible in the log. The first claim of all creates the ledger id: the owner of
partition 0 creates it, the owners of other empty partitions wait for it.
"""

from typing import Annotated, Final

import msgspec

from aggregator.ledger_ids import RENEWAL_CHARACTERS
from aggregator.policy import Policy
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

CLAIM_KEY: Final = b'["claim"]'
SCHEMA: Final = 4
"""Version of ledger rows and tallies. Workers and views refuse a ledger with a higher version, and read lower ones.

2: the judges of a cells tally may stand in several records. A reader of version 1 would count one of them.
3: evaluations of items that are not known wait outside of the ledger. A worker of version 2 would not look for them.
4: the policy is `majority`, or annotators have pseudonyms. A view of version 3 would show other ratings than the
tallies count, and a worker of version 3 would write names.
"""
WAITING_SCHEMA: Final = 3
"""The version of claims of workers that let evaluations wait, and need nothing of a later version."""
MAX_LEDGER_ID: Final = 64
"""Longest ledger id in characters, without the renewal of a partition: every tally carries it."""

_LedgerId = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_LEDGER_ID + RENEWAL_CHARACTERS,
        pattern=rf"^[^+]{{0,{MAX_LEDGER_ID}}}(\+[\s\S]*)?$",
    ),
]


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a claim."""

    ledger: _LedgerId
    """The ledger id."""
    partitions: Annotated[int, msgspec.Meta(ge=1)]
    """P, the number of partitions."""
    policy: str
    """A `Policy`, or one of a later release."""
    schema: Annotated[int, msgspec.Meta(ge=1)]
    owner: str
    """The worker's stable name."""
    at: int
    """When the worker claimed the partition, in milliseconds since 1970 UTC."""
    waiting: bool = False
    """Whether the worker lets evaluations wait, where the version does not state it; see `waits`."""
    counting: str = ""
    """On the wire only: the policy, where readers of version 3 would take it for an invalid claim instead of refusing
    the version; `policy` is `latest` then.
    """
    pseudonyms: str = ""
    """Fingerprint of the key of annotators' pseudonyms; empty where they have their names."""
    start: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The oldest offset of the partition when it was claimed. Compaction leaves it: where it is higher now, rows were
    deleted. None where an earlier release claimed it.
    """

    @property
    def waits(self) -> bool:
        """Whether the worker lets evaluations wait outside of the ledger."""
        return self.waiting or self.schema == WAITING_SCHEMA

    def encode(self) -> bytes:
        """Encode the claim as a ledger value."""
        if self.policy in _FIRST_POLICIES:
            return _encode(self)
        return _encode(msgspec.structs.replace(self, policy=Policy.LATEST, counting=self.policy))


_FIRST_POLICIES: Final = (Policy.EACH, Policy.LATEST)
"""Policies that readers of all versions know."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Claim).decode


def parse_claim(value: bytes) -> Claim:
    """Parse a ledger value. Raises ValueError when it is not a claim."""
    try:
        claim = _decode(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None
    return msgspec.structs.replace(claim, policy=claim.counting, counting="") if claim.counting else claim


def new_claim(
    ledger: str,
    partitions: int,
    policy: Policy,
    owner: str,
    at: int,
    *,
    waiting: bool,
    pseudonyms: str = "",
    start: int | None = None,
) -> Claim:
    """A claim of the lowest version that states it, so that earlier releases go on where they can."""
    if policy is Policy.MAJORITY or pseudonyms:
        return Claim(ledger, partitions, policy, SCHEMA, owner, at, waiting, pseudonyms=pseudonyms, start=start)
    schema = WAITING_SCHEMA if waiting else WAITING_SCHEMA - 1
    return Claim(ledger, partitions, policy, schema, owner, at, start=start)


def check_schema(claim: Claim, where: str) -> None:
    """Raise FatalError when a newer release claimed the ledger partition `where`."""
    if claim.schema > SCHEMA:
        raise FatalError(
            ExitCode.NEWER_SCHEMA, f"{where} has schema {claim.schema}, this release supports up to {SCHEMA}"
        )


def check_claim(claim: Claim, partitions: int, where: str, pseudonyms: str = "") -> None:
    """Raise FatalError when this worker must not continue the ledger partition `where`, which has this claim."""
    check_schema(claim, where)
    check_pseudonyms(claim, pseudonyms, where)
    if claim.partitions != partitions:
        raise FatalError(
            ExitCode.PARTITIONS_CHANGED,
            f"{where} was claimed with P = {claim.partitions}, the topics now have {partitions} partitions",
        )


def check_pseudonyms(claim: Claim, pseudonyms: str, where: str) -> None:
    """Raise FatalError when the ledger partition `where` has annotators under names that this worker does not use.

    Args:
        claim: of the partition.
        pseudonyms: fingerprint of this worker's key; empty without one.
        where: the partition.
    """
    if claim.pseudonyms == pseudonyms:
        return
    if not claim.pseudonyms:
        problem = (
            f"{where} was begun without the setting `pseudonyms_key_file`, so it may have names of annotators. "
            "Pseudonyms need a new `topic_prefix`; `export` and `load` move the rows"
        )
    elif not pseudonyms:
        problem = (
            f"{where} has pseudonyms of annotators, and this worker would write names. Set `pseudonyms_key_file` to "
            f"the file with key {claim.pseudonyms[:6]}"
        )
    else:
        problem = (
            f"{where} has pseudonyms of key {claim.pseudonyms[:6]}, and the file of "
            f"`pseudonyms_key_file` has key {pseudonyms[:6]}, which would count every annotator twice. "
            "Use the same key for all workers; another key needs a new `topic_prefix`"
        )
    raise FatalError(ExitCode.USAGE, problem)
