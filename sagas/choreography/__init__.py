"""Sagas that nobody conducts: events brought to whoever subscribed, and one case seen as one saga."""
