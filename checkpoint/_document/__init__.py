"""Documents: states as plain data, encoded, compared and patched."""
