"""Pulls: the records of tools are read over HTTP, page by page."""
