"""Dashboards as code: `python -m monitoring.grafana` writes the JSON that Grafana reads.

The library warns on import that the classic dashboard schema is deprecated. The classic schema is intended: every
Grafana of recent years reads it.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.prometheus
    import grafana_foundation_sdk.models.dashboard  # noqa: F401
