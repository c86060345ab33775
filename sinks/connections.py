"""Which connections of a listener have a place, and which one ends when no place is left. Pure.

A connection that waits for a request, and one on which nothing was ever sent, ends as soon as another needs its place:
silent connections keep nobody out. Beyond the places there are some in which only health is answered.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, Generic, TypeVar

LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")
HEALTH_PLACES: Final = 32
"""Places in which only health is answered."""

_T = TypeVar("_T")
_IPV6_SITE: Final = 64
"""Length of the prefix that one client has: it may take any address with it."""


def is_network(text: str) -> bool:
    """Whether a text is an address, or a network in CIDR notation."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


class Admission(Enum):
    """What a connection may ask."""

    ANY = auto()
    HEALTH = auto()
    """Only whether the process is alive and ready."""
    NONE = auto()
    """Nothing: it ends."""


class ClientAddresses:
    """Which addresses are one client.

    Args:
        proxies: networks in CIDR notation whose addresses send requests of others.
    """

    def __init__(self, proxies: Iterable[str] = LOOPBACK_NETWORKS) -> None:
        self._proxies = [ipaddress.ip_network(network) for network in proxies]

    def client(self, address: str) -> tuple[str, bool]:
        """The client of an address, and whether it is a proxy. IPv6 addresses with the same first 64 bits are one."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return address, False
        if isinstance(parsed, ipaddress.IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        is_proxy = any(parsed in network for network in self._proxies)
        if isinstance(parsed, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((int(parsed), _IPV6_SITE), strict=False)), is_proxy
        return str(parsed), is_proxy


class Connections(Generic[_T]):
    """All connections of a listener.

    Args:
        limit: places for all clients together.
        per_address: places for each address; IPv6 addresses with the same first 64 bits count together.
        proxies: networks in CIDR notation whose addresses may have all places, since they send requests of others.
    """

    def __init__(self, limit: int, per_address: int, proxies: Iterable[str] = LOOPBACK_NETWORKS) -> None:
        self._limit = limit
        self._per_address = per_address
        self._addresses = ClientAddresses(proxies)
        self._clients: dict[_T, str] = {}
        """The client of each connection."""
        self._counts: Counter[str] = Counter()
        """Connections of each client."""
        self._waiting: dict[_T, None] = {}
        """Connections that wait for a request, in the order in which they began to."""

    def __len__(self) -> int:
        return len(self._clients)

    def enter(self, connection: _T, address: str) -> tuple[Admission, _T | None]:
        """Give a place to a new connection, which then waits for a request.

        Returns the place, and the connection that must end for it: the one that has waited longest, of the same client
        if that has as many as it may. With `Admission.NONE` the new one is not kept.
        """
        client, exempt = self._addresses.client(address)
        victim = None
        if not exempt and self._counts[client] >= self._per_address:
            victim = next((waiting for waiting in self._waiting if self._clients[waiting] == client), None)
        elif len(self) >= self._limit:
            victim = next(iter(self._waiting), None)
        if victim is not None:
            self.leave(victim)
        if len(self) < self._limit and (exempt or self._counts[client] < self._per_address):
            place = Admission.ANY
        elif len(self) < self._limit + HEALTH_PLACES:
            place = Admission.HEALTH
        else:
            return Admission.NONE, victim
        self._clients[connection] = client
        self._counts[client] += 1
        self._waiting[connection] = None
        return place, victim

    def leave(self, connection: _T) -> None:
        """A connection has ended; one without a place is ignored."""
        client = self._clients.pop(connection, None)
        if client is None:
            return
        self._waiting.pop(connection, None)
        self._counts[client] -= 1
        if not self._counts[client]:
            del self._counts[client]

    def serve(self, connection: _T) -> None:
        """A request of a connection is being answered."""
        self._waiting.pop(connection, None)

    def wait(self, connection: _T) -> None:
        """A connection waits for its next request."""
        self._waiting.pop(connection, None)
        if connection in self._clients:
            self._waiting[connection] = None
