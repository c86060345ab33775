"""The web page of a view: HTML made on the server from snapshot documents and rows.

Every control is a link or a form; one small script adds live numbers. Names and texts of events are hostile:
templates escape them, and nothing of them reaches a script or a style.
"""
