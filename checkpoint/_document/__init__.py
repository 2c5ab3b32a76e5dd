"""Documents: a state as plain data, encoded, compared and patched."""
