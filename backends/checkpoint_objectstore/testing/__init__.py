"""The replica simulator for object stores: faults happen between object requests.

Like :mod:`checkpoint.testing.simulator`, but with the network below the store: each process has its
own ``AsyncObjectStore`` with its own cache of heads, and the processes share the objects. A save is
several requests, and its process can end between any two of them.
"""

from checkpoint_objectstore.testing.simulated import simulate

__all__ = ["simulate"]
