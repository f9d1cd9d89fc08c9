"""The pod network: DNS names, services and NetworkPolicies.

When a pod's program opens a connection, the node asks `Network` for the destination: a port of a pod, or an error.
"""
