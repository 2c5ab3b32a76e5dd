"""States: the models that users define, their memories, and the proof that one can be restored."""
