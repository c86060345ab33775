"""The command, its settings and the wiring: the only place that knows everything."""

from importlib.metadata import version

__version__ = version("eval-alignment")
