"""The store registry, the in-memory store, and threads for blocking stores."""
