"""The runtime in one process: cache, lineages, options, retries and logging."""
