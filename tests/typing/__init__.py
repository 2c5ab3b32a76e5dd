"""What type checkers make of the public API, as a user's code sees it."""
