"""What runs the product: containers, systemd units, and a Kafka that lets nobody in by default."""
