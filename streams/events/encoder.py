"""Write a fact as an event that becomes the same fact again."""

from typing import Final

from aggregator.days import timestamp
from aggregator.facts import Fact, encode

_AT: Final = b'{"at":'


def encode_event(fact: Fact) -> bytes:
    """Return a fact as the JSON of an event, with an RFC 3339 time.

    An event may have every year from 1970 on in RFC 3339, but not as an integer.
    """
    written = b"%s%d" % (_AT, fact.at)
    value = encode(fact)
    assert value.startswith(written), value
    return b'%s"%s"%s' % (_AT, timestamp(fact.at).encode(), value[len(written) :])
