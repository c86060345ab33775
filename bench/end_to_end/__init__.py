"""End-to-end measurements: memory, restore, freshness, scrapes, rates of the view. See docs/performance.md."""
