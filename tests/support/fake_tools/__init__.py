"""Tools that answer as the real ones do, from a store of their own that a test edits."""
