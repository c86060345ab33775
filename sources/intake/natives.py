"""The tools' ids of records as bytes, which SQLite and msgpack keep also where they have half of a surrogate pair."""


def native_bytes(native: str) -> bytes:
    """The id of a record for the index."""
    return native.encode(errors="surrogatepass")


def native_text(native: bytes) -> str:
    """The id of a record from the index."""
    return native.decode(errors="surrogatepass")
