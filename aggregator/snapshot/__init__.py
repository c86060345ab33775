"""The snapshot document of a queue: its schema, what it is built from, and how."""
