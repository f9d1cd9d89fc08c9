"""Credentials of every kind, and how long they hold."""
