"""Tests of the pure core: values to bytes and back, checked on the way."""
