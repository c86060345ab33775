"""All SQL that reads the store. Every function takes a connection that sees one state."""
