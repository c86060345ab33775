"""What counts, as small histories with the counts that they must have."""
