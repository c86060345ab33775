"""What people and programs see: the read model, Prometheus gauges, snapshot documents and the HTTP API."""
