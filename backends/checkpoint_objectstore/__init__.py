"""Sessions in object storage: S3, servers compatible with it, and directories."""
