"""The client that sends events to `eval-alignment ingest` over HTTP, for sync and async programs.

`events` checks and writes events, `outbox` decides what is sent and when, `answers` reads responses: three modules
without I/O. `sync` and `asynchronous` send with httpx, on what `base` has in common for both.
"""
