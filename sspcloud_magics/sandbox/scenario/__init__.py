"""The scenario of a new sandbox: users, namespaces, releases, and the content of the databases."""
