"""Claims on the wire, and which of them a worker refuses."""

import msgspec
import pytest

from aggregator.ledger_ids import renewed
from aggregator.policy import Policy
from streams.ledger.claim import MAX_LEDGER_ID, SCHEMA, Claim, check_claim, parse_claim
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

CLAIM = Claim("5f0c", 8, Policy.LATEST, SCHEMA, "w1", 1_780_000_000_000)


def test_a_claim_is_read_back() -> None:
    assert CLAIM.encode() == (
        b'{"ledger":"5f0c","partitions":8,"policy":"latest","schema":3,"owner":"w1","at":1780000000000}'
    )
    assert parse_claim(CLAIM.encode()) == CLAIM


@pytest.mark.parametrize("value", [b"", b"{}", b'{"ledger":1}', b"[]"])
def test_any_other_value_is_an_invalid_claim(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_claim(value)


def test_the_renewal_of_the_longest_ledger_id_is_read_back() -> None:
    claim = msgspec.structs.replace(CLAIM, ledger="a" * MAX_LEDGER_ID)
    for _ in range(2):
        assert parse_claim(claim.encode()) == claim
        claim = msgspec.structs.replace(claim, ledger=renewed(claim.ledger))


@pytest.mark.parametrize("ledger", ["", "a" * (MAX_LEDGER_ID + 1), "a" * 65 + "+1a2b", "a+" + "b" * 99])
def test_a_ledger_id_that_is_too_long_is_an_invalid_claim(ledger: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_claim(msgspec.structs.replace(CLAIM, ledger=ledger).encode())


def test_another_number_of_partitions_is_refused() -> None:
    check_claim(CLAIM, 8, "facts[0]")
    with pytest.raises(FatalError, match="claimed with P = 8, the topics now have 9") as refused:
        check_claim(CLAIM, 9, "facts[0]")
    assert refused.value.exit_code is ExitCode.PARTITIONS_CHANGED


def test_a_newer_release_is_refused() -> None:
    newer = Claim("5f0c", 8, Policy.EACH, SCHEMA + 1, "w1", 0)
    with pytest.raises(FatalError) as refused:
        check_claim(newer, 8, "facts[0]")
    assert refused.value.exit_code is ExitCode.NEWER_SCHEMA


def test_an_older_release_is_continued() -> None:
    check_claim(Claim("5f0c", 8, Policy.EACH, SCHEMA - 1, "w1", 0), 8, "facts[0]")
