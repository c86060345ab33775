"""Names of the environment variables that are settings."""

from typing import Final

ENVIRONMENT_PREFIX: Final = "EVAL_ALIGNMENT_"
"""The variable of a setting is this prefix and the name of the setting in upper case."""
CONFIG_VARIABLE: Final = "EVAL_ALIGNMENT_CONFIG"
"""Names the settings file."""
OTHERS = ("EVAL_ALIGNMENT_CLIENT_", "EVAL_ALIGNMENT_REQUIRE", "EVAL_ALIGNMENT_CACHE", "EVAL_ALIGNMENT_TEST_")
"""Prefixes of variables of the client for events and of the test suite, which are not settings."""
