"""How many events go through outbox and inbox in a second, and how long one takes."""
