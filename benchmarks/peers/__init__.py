"""Other engines and queues, each in an environment of its own, as their documentation says they run best.

They import nothing of Django, and of the project only what needs nothing but Python.
"""
