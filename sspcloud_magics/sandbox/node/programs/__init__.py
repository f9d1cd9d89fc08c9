"""What runs in pods: one module for each container image that the sandbox knows.

Each is a process of its own, `python -I …/programs/NAME.py`, and talks with its node by `pod.Pod`.
They import little, so that a pod is up at once.
"""
