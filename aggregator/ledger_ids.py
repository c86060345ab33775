"""Ledger ids: all partitions have one in common, and a partition that continues after a loss renews its own."""

import secrets
from collections.abc import Iterable
from typing import Final

_RENEWAL: Final = "+"
_RENEWAL_BYTES: Final = 4
RENEWAL_CHARACTERS: Final = len(_RENEWAL) + 2 * _RENEWAL_BYTES
"""Characters that a renewal adds to the part that all partitions have in common."""


def new_ledger_id() -> str:
    """Make a random ledger id."""
    return secrets.token_hex(8)


def renewed(ledger: str) -> str:
    """A new ledger id for one partition, so that readers read it again: `common_id` of both is the same."""
    return f"{common_id(ledger)}{_RENEWAL}{secrets.token_hex(_RENEWAL_BYTES)}"


def common_id(ledger: str) -> str:
    """The part of a ledger id that all partitions have in common."""
    return ledger.partition(_RENEWAL)[0]


def ledger_of_all(ledgers: Iterable[str]) -> str:
    """One id for the partitions of a view, which changes whenever that of a partition does.

    Ids that do not belong together are joined too: so a view's partitions are while it reads a new ledger.

    >>> ledger_of_all(["5f0c", "5f0c+1a2b3c4d", "5f0c"])
    '5f0c+1a2b3c4d'
    """
    parts = (part for ledger in sorted(set(ledgers)) for part in ledger.split(_RENEWAL))
    return _RENEWAL.join(dict.fromkeys(parts))
