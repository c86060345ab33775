"""Broker, worker and view as processes on one machine: the commands up and demo."""
