"""procrastinate: three jobs, each of which defers the next; a row for each job, in PostgreSQL."""
