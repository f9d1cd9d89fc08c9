"""Kubeconfigs: their YAML, and how they are read and written."""
