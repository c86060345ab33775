"""Evaluations of items that nobody has annotated: they wait in a store on this machine's disk."""
