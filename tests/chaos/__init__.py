"""Sagas under faults: real clusters, a broken network, services that fail, and books that must add up.

python -m tests.chaos [--profile smoke|pr|nightly] [--seed 1] [--mutant NAME | --mutants]
"""
