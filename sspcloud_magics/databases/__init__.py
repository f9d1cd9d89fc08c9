"""Databases of the cluster: find them, connect to them, query them into DataFrames."""
