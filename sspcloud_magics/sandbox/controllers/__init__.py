"""The controllers of the sandbox: what brings a cluster from what it is to what its objects say.

Each module is one kind of object: pure functions that say what should be, and a reconcile function that
writes the difference. `loop` runs them on the changes of the store.
"""
