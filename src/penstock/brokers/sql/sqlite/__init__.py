"""The SQL of the broker on a SQLite file, one file for each subject."""
