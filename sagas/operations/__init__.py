"""What may be asked of sagas, by people and by programs, whichever door they come through."""
