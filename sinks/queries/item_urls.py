"""Addresses of items whose events have no url."""

from urllib.parse import quote


def item_address(url: str | None, template: str, item: str, level: str) -> str | None:
    """The url of an event, else the template with `{item}` and `{level}` filled in; None if it is empty.

    >>> item_address(None, "https://t.test/{level}/{item}", "a/b", "trace")
    'https://t.test/trace/a%2Fb'
    """
    if url is not None or not template:
        return url
    return template.replace("{item}", quote(item, safe="")).replace("{level}", level)
