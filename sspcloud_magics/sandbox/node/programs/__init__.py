"""The programs in pods: one module per known container image.

Each runs as `python -I …/programs/NAME.py` and communicates with the node through `pod.Pod`. They import
little, so that pods start fast.
"""
