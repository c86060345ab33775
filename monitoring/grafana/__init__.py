"""Dashboards as code: `python -m monitoring.grafana` writes the JSON that Grafana is given.

The library's older kinds of dashboard call themselves deprecated when they are first imported, which is here. Classic
JSON is wanted: every Grafana of the last years reads it.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.prometheus
    import grafana_foundation_sdk.models.dashboard  # noqa: F401
