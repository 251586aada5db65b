"""The demonstration: a shop with its own workers, and orders that go wrong in every way it knows."""
