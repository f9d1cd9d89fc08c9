"""Requests to the API server: read, list, watch and write objects, and check permissions."""
