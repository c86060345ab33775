"""The comparison: the worker and its peers do the same job on one broker, in turns, and every result must be exact."""
