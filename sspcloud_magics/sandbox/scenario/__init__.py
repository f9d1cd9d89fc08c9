"""The world that the sandbox begins with: people, namespaces, releases, and what is in their databases."""
