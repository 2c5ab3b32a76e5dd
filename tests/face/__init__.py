"""The public face, as a demanding user would test it: each behaviour once, on both faces."""
