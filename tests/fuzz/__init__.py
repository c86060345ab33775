"""Fuzzers: `python -m tests.fuzz NAME --seconds N`. The generators are shared with the tests."""
