"""Moves sagas: claims what is due, calls the steps, settles what came of it."""
