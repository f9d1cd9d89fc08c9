"""What lies between pods: names, services and NetworkPolicies.

A pod's program that opens a connection asks the node where to, and the node asks `Network`. The answer is a pod
and a port of it, or why there is none.
"""
