"""Ledger ids, and the renewals of partitions."""

from aggregator.ledger_ids import common_id, ledger_of_all, new_ledger_id, renewed


def test_ledger_ids_are_random() -> None:
    assert len({new_ledger_id() for _ in range(100)}) == 100


def test_the_id_of_all_partitions_changes_with_each_renewal() -> None:
    one, two = renewed("5f0c"), renewed("5f0c")
    ids = [ledger_of_all(ledgers) for ledgers in (["5f0c"] * 3, ["5f0c", one], ["5f0c", one, two], [one, two], [two])]
    assert (ids[0], ids[1], ids[4]) == ("5f0c", one, two)
    assert ids[2] == ids[3]
    assert len(set(ids)) == 4
    assert {common_id(ledger) for ledger in ids} == {"5f0c"}
    assert ledger_of_all([]) == ""
