"""What a server tells Prometheus: read from the ledger and the records when it is asked, never from a worker."""
