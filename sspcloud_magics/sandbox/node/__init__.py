"""The only node of the sandbox: it runs pods as processes, keeps their logs, and forwards to their ports.

`Node` has the roles of scheduler, kubelet and container runtime. `programs` has the programs that replace
container images.
"""
