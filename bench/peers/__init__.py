"""The programs that the side by side compares: one job, each in the way of its own library. Never part of the product.

The job: read annotations and evaluations from two topics, keep the newest of each identity by (`at`, `id`), join them
by item, and count per queue, criterion, metric and day: people fail or pass by metric fails or passes. None of the
peers validates events, keeps rating levels or judge versions apart, or writes dead letters; the worker does.
"""
