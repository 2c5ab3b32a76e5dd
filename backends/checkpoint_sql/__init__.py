"""Sessions in SQL databases: SQLite, the embedded default."""
