"""Side by side: the worker and its peers do one job on one broker, in turns, and every result must be exact."""
