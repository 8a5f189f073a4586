"""The SQL of the storage engines, one file for each subject."""
