"""Rows that merge, counts that fold: the pure core, with no Kafka, no I/O and no clock."""
