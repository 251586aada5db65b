"""How long work stands still after a fault."""
