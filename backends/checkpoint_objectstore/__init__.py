"""Sessions as objects: in S3, in what speaks its protocol, or in a directory."""
