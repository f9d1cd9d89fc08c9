"""Authentication and RBAC."""
