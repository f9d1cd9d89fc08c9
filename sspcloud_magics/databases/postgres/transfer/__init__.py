"""Rows in and out by other routes than one DataFrame: files, chunks, COPY, whole tables, SQLAlchemy."""
