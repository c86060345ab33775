"""The pure core: rows that merge and counts that fold, without Kafka, I/O or clock."""
