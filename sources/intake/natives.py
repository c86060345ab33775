"""The tools' ids of records as bytes, which SQLite and msgpack keep also where they have half of a surrogate pair."""

from sources.records import bounded_id


def native_bytes(native: str) -> bytes:
    """The id of a record for the index."""
    return native.encode(errors="surrogatepass")


def native_text(native: bytes) -> str:
    """The id of a record from the index."""
    return native.decode(errors="surrogatepass")


def bounded_name(native: bytes) -> bytes:
    """The id of a record as it is kept now; former releases kept long ones whole."""
    return native_bytes(bounded_id(native_text(native)))
