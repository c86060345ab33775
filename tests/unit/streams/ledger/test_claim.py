"""Claims on the wire, and which of them a worker refuses."""

import msgspec
import orjson
import pytest

from aggregator.ledger_ids import renewed
from aggregator.policy import Policy
from streams.ledger.claim import (
    MAX_LEDGER_ID,
    SCHEMA,
    WAITING_SCHEMA,
    Claim,
    check_claim,
    check_pseudonyms,
    new_claim,
    parse_claim,
)
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError

CLAIM = Claim("5f0c", 8, Policy.LATEST, WAITING_SCHEMA, "w1", 1_780_000_000_000)


def test_a_claim_is_read_back() -> None:
    assert CLAIM.encode() == (
        b'{"ledger":"5f0c","partitions":8,"policy":"latest","schema":3,"owner":"w1","at":1780000000000}'
    )
    assert parse_claim(CLAIM.encode()) == CLAIM


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("policy", Policy)
def test_a_new_claim_has_the_lowest_version_that_states_it(policy: Policy, waiting: bool) -> None:
    claim = new_claim("5f0c", 8, policy, "w1", 1, waiting=waiting)
    assert parse_claim(claim.encode()) == claim
    assert (claim.policy, claim.waits) == (policy, waiting)
    assert claim.schema == (SCHEMA if policy is Policy.MAJORITY else 2 + waiting)


def test_earlier_releases_see_the_version_of_a_policy_that_they_do_not_know() -> None:
    """They read the two first policies only, and would take any other claim for an invalid one."""
    record = orjson.loads(new_claim("5f0c", 8, Policy.MAJORITY, "w1", 1, waiting=False).encode())
    assert (record["policy"], record["schema"]) == ("latest", 4)


def test_the_version_of_a_later_release_is_refused_with_any_policy() -> None:
    later = orjson.dumps({**orjson.loads(CLAIM.encode()), "policy": "weighted", "schema": SCHEMA + 1})
    with pytest.raises(FatalError, match=f"supports up to {SCHEMA}"):
        check_claim(parse_claim(later), 8, "facts[0]")


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


ONE, OTHER = "1a" * 16, "2b" * 16


def test_a_claim_with_pseudonyms_is_not_for_earlier_releases() -> None:
    claim = new_claim("5f0c", 8, Policy.EACH, "w1", 1, waiting=True, pseudonyms=ONE)
    assert (claim.schema, claim.waits) == (SCHEMA, True)
    assert parse_claim(claim.encode()) == claim
    assert claim.pseudonyms == ONE


@pytest.mark.parametrize(
    ("claimed", "own", "problem"),
    [
        (ONE, OTHER, "has pseudonyms of key 1a1a1a, and the file of `pseudonyms_key_file` has key 2b2b2b"),
        (ONE, "", "this worker would write names. Set `pseudonyms_key_file` to the file with key 1a1a1a"),
        ("", ONE, "begun without the setting `pseudonyms_key_file`"),
    ],
)
def test_a_worker_that_names_annotators_otherwise_is_refused(claimed: str, own: str, problem: str) -> None:
    claim = new_claim("5f0c", 8, Policy.EACH, "w1", 1, waiting=False, pseudonyms=claimed)
    check_claim(claim, 8, "facts[0]", claimed)
    check_pseudonyms(claim, claimed, "facts[0]")
    with pytest.raises(FatalError, match=problem) as refused:
        check_claim(claim, 8, "facts[0]", own)
    assert refused.value.exit_code is ExitCode.USAGE
    with pytest.raises(FatalError, match=problem):
        check_pseudonyms(claim, own, "facts[0]")
