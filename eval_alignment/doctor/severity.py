"""How bad a finding is."""

from enum import IntEnum


class Severity(IntEnum):
    """Severity of a finding; a larger number is worse."""

    OK = 0
    INFO = 1
    WARNING = 2
    ERROR = 3
    CRITICAL = 4
