"""The programs of the comparison: one job, each in the style of its library. Not part of the product.

The job: read annotations and evaluations from two topics, keep the newest of each identity by (`at`, `id`), join them
by item, and count the four outcomes per queue, criterion, metric and day. Unlike the worker, no peer validates events,
keeps rating levels or judge versions apart, or writes dead letters.
"""
