"""Records: the stored form of a session, as bytes."""
