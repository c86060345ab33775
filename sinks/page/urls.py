"""Addresses of the page's routes. Names in them are percent-encoded, including `/`."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from sinks.api.parameters import path_segment

Value = str | int | Iterable[str] | None


def queue_path(queue: str, rest: str = "") -> str:
    """The path of a queue's page, or of a page below it.

    >>> queue_path("a/b", "/items")
    '/queues/a%2Fb/items'
    """
    return f"/queues/{path_segment(queue)}{rest}"


def item_path(queue: str, item: str) -> str:
    """The path of an item's page. Ids are encoded as names of queues are, and never normalised.

    >>> item_path("q", "run 1/step #2"), item_path("q", "..")
    ('/queues/q/items/run%201%2Fstep%20%232', '/queues/q/items/~..')
    """
    return queue_path(queue, f"/items/{path_segment(item)}")


def address(path: str, parameters: Mapping[str, Value]) -> str:
    """A path with parameters; empty ones are left out.

    >>> address("/x", {"metric": ["a", "b"], "window": None, "q": ""})
    '/x?metric=a&metric=b'
    """
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if value is None or value == "":
            continue
        if isinstance(value, str | int):
            pairs.append((name, str(value)))
        else:
            pairs += [(name, part) for part in value]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def openable(url: str | None) -> str | None:
    """An address if a link may have it: http and https only, because events and settings may contain anything."""
    if url is None:
        return None
    try:
        return url if urlsplit(url).scheme in ("http", "https") else None
    except ValueError:
        return None
