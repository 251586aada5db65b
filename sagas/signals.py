"""What the engine tells the project, after commit. Receivers that raise are logged and change nothing.

Each signal is sent with ``sender=Saga`` and ``saga_id``; `saga_needs_attention` also with ``attention``.
"""

from django.dispatch import Signal

saga_completed = Signal()
saga_compensated = Signal()
saga_needs_attention = Signal()
