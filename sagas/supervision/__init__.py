"""Keeps a cluster of workers at work: what starts it, watches it, and replaces it when it no longer moves."""
