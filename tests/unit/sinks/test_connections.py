"""Who has a place at a listener, and who loses it."""

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.connections import HEALTH_PLACES, Admission, Connections, is_network

LIMIT, PER_ADDRESS = 6, 3
PROXY = "10.9.0.1"
ADDRESSES = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1", PROXY, "somewhere"]


def filled(served: int, address: str = "192.0.2.1", limit: int = LIMIT) -> Connections[int]:
    """Places in which requests are being answered."""
    places: Connections[int] = Connections(limit, PER_ADDRESS, [PROXY])
    for number in range(served):
        assert places.enter(number, address)[0] is Admission.ANY
        places.serve(number)
    return places


def test_silent_connections_end_for_new_ones_the_oldest_first() -> None:
    places: Connections[int] = Connections(LIMIT, LIMIT)
    for number in range(LIMIT):
        assert places.enter(number, "192.0.2.1") == (Admission.ANY, None)
    places.serve(0)
    assert places.enter(10, "192.0.2.2") == (Admission.ANY, 1)
    # A connection whose request was answered is the newest of those that wait.
    places.serve(2)
    places.wait(2)
    assert places.enter(11, "192.0.2.2") == (Admission.ANY, 3)
    assert len(places) == LIMIT


def test_an_address_that_has_its_places_loses_its_own_connections_only() -> None:
    places: Connections[int] = Connections(LIMIT, PER_ADDRESS)
    places.enter(0, "192.0.2.9")
    for number in range(1, 1 + PER_ADDRESS):
        places.enter(number, "192.0.2.1")
    assert places.enter(10, "192.0.2.1") == (Admission.ANY, 1)


def test_a_proxy_may_have_all_places() -> None:
    places: Connections[int] = Connections(LIMIT, PER_ADDRESS, ["10.9.0.0/16"])
    assert [places.enter(number, PROXY) for number in range(LIMIT)] == [(Admission.ANY, None)] * LIMIT


@pytest.mark.parametrize(("served", "address"), [(LIMIT, PROXY), (PER_ADDRESS, "192.0.2.1")])
def test_health_has_places_while_all_others_serve_requests(served: int, address: str) -> None:
    places = filled(served, address)
    for number in range(served, served + 3):
        place, _ = places.enter(number, address)
        assert place is Admission.HEALTH
        places.serve(number)


def test_places_for_health_are_bounded_too() -> None:
    places = filled(LIMIT, PROXY)
    for number in range(LIMIT, LIMIT + HEALTH_PLACES):
        assert places.enter(number, PROXY)[0] is Admission.HEALTH
        places.serve(number)
    assert places.enter(1_000, PROXY) == (Admission.NONE, None)
    places.leave(0)
    assert places.enter(1_001, PROXY)[0] is Admission.HEALTH


def test_ipv6_addresses_of_one_site_count_together() -> None:
    places: Connections[int] = Connections(LIMIT, PER_ADDRESS, [])
    for number in range(PER_ADDRESS):
        places.enter(number, f"2001:db8::{number + 1}")
    assert places.enter(10, "2001:db8::ffff") == (Admission.ANY, 0)
    assert places.enter(11, "2001:db8:0:1::1") == (Admission.ANY, None)


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave", "serve", "wait"]), st.integers(0, 9)), max_size=80))
def test_limits_hold_whatever_connections_do(acts: Sequence[tuple[str, int]]) -> None:
    places: Connections[int] = Connections(LIMIT, PER_ADDRESS, [PROXY])
    numbers, known, asks_any = count(), dict[int, str](), set[int]()
    for act, choice in acts:
        if act == "enter":
            number, address = next(numbers), ADDRESSES[choice % len(ADDRESSES)]
            place, victim = places.enter(number, address)
            if victim is not None:
                del known[victim]
                asks_any.discard(victim)
            if place is not Admission.NONE:
                known[number] = address
            if place is Admission.ANY:
                asks_any.add(number)
        elif known:
            number = sorted(known)[choice % len(known)]
            getattr(places, act)(number)
            if act == "leave":
                del known[number]
                asks_any.discard(number)
        assert len(places) == len(known) <= LIMIT + HEALTH_PLACES
        assert len(asks_any) <= LIMIT
        of_one = sum(known[number] in ("192.0.2.1", "::ffff:192.0.2.1") for number in asks_any)
        assert of_one <= PER_ADDRESS


def test_a_network_is_an_address_or_a_range() -> None:
    assert [is_network(text) for text in ("10.1.0.0/16", "10.1.2.3", "::1", "10.1.2.3/16", "proxy")] == [
        True,
        True,
        True,
        False,
        False,
    ]
