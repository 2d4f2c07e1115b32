"""What surrounds every job: errors, logs, files, locks, tables, paths and code digests."""
