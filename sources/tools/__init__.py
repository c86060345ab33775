"""One mapper per tool: the shape of its records, in code. Their meaning is in the rules of a source."""
