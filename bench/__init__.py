"""Measurements on a real Apache Kafka. Compare only numbers of one run: machines and days differ."""
