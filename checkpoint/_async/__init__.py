"""The asynchronous face, written by hand; the blocking one is generated from it."""
