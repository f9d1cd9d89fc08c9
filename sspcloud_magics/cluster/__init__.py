"""Who am I, what runs, what may I do: everything that is asked of the API server."""
