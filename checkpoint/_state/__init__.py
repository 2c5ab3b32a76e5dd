"""States: the models that users define, their memories, and the proof that they can be restored."""
