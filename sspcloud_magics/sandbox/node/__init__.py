"""The sandbox's one machine: it runs pods as processes, keeps their logs, and forwards to their ports.

`Node` plays the parts of the scheduler, the kubelet and the container runtime. The programs which stand for
container images are in `programs`, each a process of its own.
"""
