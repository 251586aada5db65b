"""DBOS: a workflow of three steps; a row for the workflow and for each step's result, in PostgreSQL."""
