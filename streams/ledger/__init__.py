"""The logs that workers own, ledger and tallies: claims, appending, reading, and what is published."""
