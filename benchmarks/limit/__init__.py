"""What the bare database does: the statements that no engine can do without, sent by pgbench."""
