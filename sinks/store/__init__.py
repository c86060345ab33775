"""Topics to SQLite, exactly: the view's reader and its store."""
