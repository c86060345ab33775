"""The snapshot document of a queue: its schema, its inputs, and how it is built."""
