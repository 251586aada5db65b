"""An app for tests with real workers: services outside the database, which keep their own books in files."""
