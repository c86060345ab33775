"""From the bytes of a source topic to a fact, or to a rejection with its reason."""
