"""The contract of stores: one module for each part."""
