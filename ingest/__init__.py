"""Events over HTTP: the events of a request become records of the source topics."""
