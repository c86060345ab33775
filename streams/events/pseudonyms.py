"""Pseudonyms: keyed hashes in place of the names of annotators.

A pseudonym is `anon-`, six digits of the fingerprint of the key, `-` and 20 hexadecimal digits (80 bits) of the
HMAC-SHA-256 of the name. The same name has the same pseudonym under the same key, so people stay apart, and nobody can
test a guessed name without the key. A name of this form is a pseudonym already and stays as it is: rows that are
exported and loaded again keep their identity.
"""

import hmac
import re
from typing import Final

MARK: Final = "anon-"
"""What every pseudonym begins with."""
LEAST_KEY_BYTES: Final = 16
"""Shortest key."""
_KEY_DIGITS: Final = 6
_NAME_DIGITS: Final = 20
_PSEUDONYM: Final = re.compile(rf"{MARK}[0-9a-f]{{{_KEY_DIGITS}}}-[0-9a-f]{{{_NAME_DIGITS}}}")
_MOST_NAMES: Final = 100_000
"""Most names that are kept, to hash each once."""


def is_pseudonym(annotator: str) -> bool:
    """Whether the name of an annotator has the form of a pseudonym, under any key."""
    return _PSEUDONYM.fullmatch(annotator) is not None


class Pseudonyms:
    """The pseudonyms of one key.

    >>> Pseudonyms(b"a key of at least 16 bytes").of("ann")
    'anon-1aa92f-4ab7eebbee0b7d65fbf6'
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}
        self.fingerprint: Final = self._digest(b"key\0", 32)
        """Differs between keys, and reveals nothing of them."""

    def of(self, annotator: str) -> str:
        """The pseudonym of an annotator; an empty name stays empty."""
        known = self._known.get(annotator)
        if known is None:
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            known = self._known[annotator] = self._make(annotator)
        return known

    def _make(self, annotator: str) -> str:
        if not annotator or is_pseudonym(annotator):
            return annotator
        digits = self._digest(b"annotator\0" + annotator.encode(errors="surrogatepass"), _NAME_DIGITS)
        return f"{MARK}{self.fingerprint[:_KEY_DIGITS]}-{digits}"

    def _digest(self, message: bytes, digits: int) -> str:
        return hmac.digest(self._key, message, "sha256").hex()[:digits]
