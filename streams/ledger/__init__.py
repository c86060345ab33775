"""The logs that the product owns: who may write them, what is in them, what was published."""
