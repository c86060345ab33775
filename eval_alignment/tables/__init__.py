"""Tables of labels and verdicts (CSV, TSV, NDJSON, JSON arrays), and the events that their rows become."""
