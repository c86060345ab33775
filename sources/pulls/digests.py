"""A set of texts of a tool, which decides how long they are and how many."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 16


class DigestSet:
    """Remembers texts by a digest of 16 bytes each, so that long ones need no more memory than short ones.

    >>> seen = DigestSet(["a"])
    >>> seen.update(["a", "b"]), "b" in seen, "c" in seen
    (1, True, False)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._digests: set[bytes] = set()
        self.update(texts)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and _digest(text) in self._digests

    def __len__(self) -> int:
        return len(self._digests)

    def update(self, texts: Iterable[str]) -> int:
        """Add texts, and return how many of them are new."""
        before = len(self._digests)
        self._digests.update(map(_digest, texts))
        return len(self._digests) - before


def _digest(text: str) -> bytes:
    # Ids of tools may have half of a surrogate pair.
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
