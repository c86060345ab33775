"""The clients of the tools whose records can be pulled."""
