"""What is measured of queries, and what is to be reached."""
