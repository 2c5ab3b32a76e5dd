"""Sessions in SQL databases: SQLite, the default store."""
