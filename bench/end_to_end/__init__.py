"""What users feel: memory, restore, freshness, scrapes, and what the view can take. See docs/performance.md."""
