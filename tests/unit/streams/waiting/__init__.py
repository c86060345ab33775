"""Tests of `streams.waiting`."""
