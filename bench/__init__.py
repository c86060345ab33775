"""Measurements on a real Apache Kafka. Numbers are of this machine on this day; only ratios of one run compare."""
