"""A job's life: submitted, planned, watched, ended."""
