"""What a text of the settings must be: an address, a template of addresses, a topic, or a path."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_TOPIC_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._-]*")
_LONGEST_TOPIC: Final = 249
_PORT: Final = re.compile(r"[0-9]{1,5}")
_HOST: Final = re.compile(r"[^\s:/@\\?#\[\]]+")


def address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` (`[::1]:80` for IPv6). Raises ValueError when the text is malformed.

    >>> address("127.0.0.1:8390")
    ('127.0.0.1', 8390)
    """
    host, _, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_host = bare.isprintable() and (_is_ipv6(bare) or (bare == host and _HOST.fullmatch(bare)))
    if not is_host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return bare, int(port)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def template_problems(setting: str, template: str, *placeholders: str) -> Iterator[str]:
    """Why a text is not a template of addresses. An empty one has no problem.

    >>> [*template_problems("queue_url", "https://t.test/{queue}", "queue")]
    []
    >>> [*template_problems("queue_url", "https://t.test/{queue:>9}", "queue")]
    ["queue_url: 'https://t.test/{queue:>9}' has other braces than `{queue}`: remove or quote them"]
    """
    filled = template
    for name in placeholders:
        filled = filled.replace(f"{{{name}}}", "x")
    if "{" in filled or "}" in filled:
        allowed = " and ".join(f"`{{{name}}}`" for name in placeholders)
        yield f"{setting}: {template!r} has other braces than {allowed}: remove or quote them"
    elif template and not _is_web_address(filled):
        yield f"{setting}: {template!r} is not an address that begins with http:// or https://"


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.isprintable() and " " not in text and parts.scheme in ("http", "https") and bool(parts.hostname)


def topic_problems(prefix: str, names: Mapping[str, str]) -> Iterator[str]:
    """Why topics cannot have these names.

    Args:
        prefix: of all names, the setting `topic_prefix`.
        names: names without the prefix, by setting.
    """
    advice = "use letters, digits, `.`, `_` and `-`"
    if not _TOPIC_CHARACTERS.fullmatch(prefix):
        yield f"topic_prefix: {prefix!r} has characters that names of topics cannot have: {advice}"
    for setting, name in names.items():
        if not _TOPIC_CHARACTERS.fullmatch(name) or prefix + name in ("", ".", ".."):
            yield f"{setting}: {name!r} is not the name of a topic: {advice}"
        elif len(prefix + name) > _LONGEST_TOPIC:
            yield f"{setting}: with its prefix the name has more than {_LONGEST_TOPIC} characters: shorten it"


def path_problems(values: Mapping[str, object]) -> Iterator[str]:
    """Why those of the values that are paths cannot be paths, by setting."""
    for setting, value in values.items():
        if isinstance(value, Path) and "\0" in str(value):
            yield f"{setting}: {str(value)!r} has a NUL character: remove it"
