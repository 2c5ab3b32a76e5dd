"""The public API, as a demanding user would test it: each behaviour once, on both of its forms."""
