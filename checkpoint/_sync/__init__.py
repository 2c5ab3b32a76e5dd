"""The asynchronous face, written by hand; the blocking one is generated from it."""

# Generated from checkpoint/_async/__init__.py by tools/unasync.py: change that one.
