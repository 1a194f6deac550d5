"""What outlives a process: files, manifest, parts, the ledger, the queue."""
