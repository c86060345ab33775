"""A name that does not exist, reported with the names that exist."""

from collections.abc import Collection
from difflib import SequenceMatcher
from typing import Final

from eval_alignment.terminal_text import printable
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_LISTED: Final = 10
"""Maximum number of names in a message."""


class UnknownNameError(EvalAlignmentError):
    """An argument names a queue, criterion or metric that does not exist; the message lists those that do."""

    exit_code = ExitCode.USAGE


def not_found(kind: str, name: str, existing: Collection[str]) -> str:
    """What does not exist, and what exists, the most similar name first.

    >>> not_found("metric", "M_scale", ["tone", "m_scale"])
    "metric 'M_scale' not found; existing: 'm_scale', 'tone'"
    """
    if not existing:
        return f"{kind} {_quoted(name)} not found; no {kind} exists"
    ordered = sorted(existing, key=lambda other: (-_similarity(name, other), other))
    listed = ", ".join(map(_quoted, ordered[:_LISTED]))
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return f"{kind} {_quoted(name)} not found; existing: {listed}{more}"


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(a=one.casefold(), b=other.casefold(), autojunk=False).ratio()


def _quoted(name: str) -> str:
    return f"'{printable(name)}'"
