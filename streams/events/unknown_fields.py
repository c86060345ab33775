"""Fields of events that the decoder ignores because it does not know them, with the name that was probably meant."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

import msgspec

from streams.events.decoder import Kind
from streams.events.schemas import EVENT_TYPES
from streams.events.values import replace_non_text

_FIELDS: Final[Mapping[Kind, frozenset[str]]] = {
    kind: frozenset((*event.__struct_fields__, "kind")) for kind, (event, _) in EVENT_TYPES.items()
}
_LONGEST: Final = 64
"""Characters of a name that are kept. No field has a name as long."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def unknown_fields(kind: Kind, value: bytes) -> list[str]:
    """Return the names of the unknown fields of an event that was decoded, each once, cut at 64 characters.

    >>> unknown_fields(Kind.ANNOTATION, b'{"id": "a", "annotater": "p1", "thumbs": "up"}')
    ['annotater']
    """
    readable = replace_non_text(value, "\ufffd")
    return [*dict.fromkeys(name[:_LONGEST] for name in _OBJECT.decode(readable) if name not in _FIELDS[kind])]


def nearest_field(kind: Kind, name: str) -> str | None:
    """Return the field of the event whose name is most like an unknown one; None if no name is like it.

    >>> nearest_field(Kind.ANNOTATION, "criteria"), nearest_field(Kind.ANNOTATION, "session")
    ('criterion', None)
    """
    # Senders choose the names: a long one would take seconds to compare, and stay in memory.
    return None if len(name) > _LONGEST else _nearest(kind, name)


@lru_cache(maxsize=1_000)
def _nearest(kind: Kind, name: str) -> str | None:
    matches = get_close_matches(name.lower(), sorted(_FIELDS[kind]), n=1, cutoff=0.7)
    return matches[0] if matches else None
