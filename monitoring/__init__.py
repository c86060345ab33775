"""What watches an installation: rules for Prometheus, routes for Alertmanager, dashboards for Grafana."""
