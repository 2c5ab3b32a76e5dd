"""The tests, by what they hold: the core, the API, the stores, and the system as a whole."""
