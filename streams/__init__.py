"""The Kafka side: events in, a ledger that replays, tallies out."""
