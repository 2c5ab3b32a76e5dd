"""The checkpointer; the blocking version is generated from the asynchronous one."""

# Generated from checkpoint/_async/__init__.py by tools/unasync.py: change that one.
