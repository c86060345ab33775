"""The view: the read model, Prometheus gauges, snapshot documents, the HTTP API and the page."""
