"""Records: what is stored of a session, as bytes."""
