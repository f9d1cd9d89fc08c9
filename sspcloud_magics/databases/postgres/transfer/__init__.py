"""Transfer of rows other than as one DataFrame: files, chunks, COPY, whole tables, SQLAlchemy."""
