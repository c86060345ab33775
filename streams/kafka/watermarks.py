"""The ends of a source partition, as the last fetch response reported them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The ends of one partition at one time."""

    high: int
    """The high watermark: the offset after the last record, records of open transactions included."""
    stable: int
    """The last stable offset: of the first record of an open transaction, `high` without one. No consumer gets more."""
    at: int
    """When the response arrived, in milliseconds by this machine's clock."""
