"""The checkpointer; the blocking version is generated from the asynchronous one."""
