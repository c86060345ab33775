"""Requests to ingest with worker, view and Apache Kafka on the same machine: rate, latency, cores."""
