"""Data beyond one kernel and one server: DuckDB over databases, files and DataFrames, and objects in S3.

Nothing here is imported before `ssp.duckdb`, ``%%query_db --duckdb`` or an ``s3://`` address is used: DuckDB is an
optional package (the extra ``duckdb``).
"""
