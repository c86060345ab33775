"""The web pages of a view, rendered on the server from snapshot documents and rows.

Every control is a link or a form; one small script adds live updates. Names and texts of events are untrusted:
templates escape them, and they reach neither scripts nor styles.
"""
