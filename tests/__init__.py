"""The tests, by what they hold: the core, the face, the stores, and the system as a whole."""
