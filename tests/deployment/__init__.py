"""Deployment: containers, systemd units, the wheel, and Kafka with access control."""
