"""The error for an event that is invalid where the caller can correct it."""

from streams.runtime.errors import EvalAlignmentError


class InvalidEventError(EvalAlignmentError, ValueError):
    """An event is invalid; the message has the reason. Of several events it names the number, counted from 1."""
