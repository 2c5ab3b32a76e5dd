"""The simulator of replicas, for stores of objects: faults happen between their object requests.

As :mod:`checkpoint.testing.simulator`, with the network below the store: each process has an
``AsyncObjectStore`` of its own, with the heads that it knows, and the objects are what they share.
A save is several requests there, and its process can end between any two.
"""

from checkpoint_objectstore.testing.simulated import simulate

__all__ = ["simulate"]
