"""From a notebook, a tunnel to a colleague's Postgres on SSPCloud, and a DataFrame in the next cell."""

__version__ = "0.1.0"
