"""The API under requests that nobody would think of: `make fuzz`."""
