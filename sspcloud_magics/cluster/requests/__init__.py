"""Requests as one identity: objects read, listed, watched and written, and the permissions for each."""
