"""Jobs as MLflow runs: what is written of them, and when."""
