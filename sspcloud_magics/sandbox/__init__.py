"""A practice cluster on this machine: the Kubernetes API over TLS, and real programs as its pods.

It imports nothing of the product, so that the product meets it as it meets any other cluster: over
the network. An unmodified kubectl is the judge of how faithful it is.
"""
