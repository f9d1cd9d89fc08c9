"""The controllers of the sandbox: they bring the cluster to the state that its objects describe.

Most modules have one kind of object: pure functions compute the desired state, and a reconcile function writes
the difference. `loop` runs them on the changes of the store.
"""
