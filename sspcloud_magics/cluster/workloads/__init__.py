"""Pods and services: inventory, status, resolution of targets, and their tables."""
