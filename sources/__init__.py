"""Records of other tools become events: pure mappers, rules for their meaning, and the owner index."""
