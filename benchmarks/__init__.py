"""How fast it is, and how fast its peers are: measured in one run, on one machine, in turns.

``python -m benchmarks`` (`make bench`) runs everything and writes `results.json` and docs/benchmarks.md;
``python -m benchmarks growth`` runs what takes long. Every contestant is a script that prints its figures as
one line of JSON, in processes of its own and on a database of its own.
"""
