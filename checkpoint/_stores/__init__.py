"""Stores by their URL: the registry, the reference store, and blocking stores in threads."""
