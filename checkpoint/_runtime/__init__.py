"""What one process keeps and does around a store: a cache, lineages, options, retries, logging."""
