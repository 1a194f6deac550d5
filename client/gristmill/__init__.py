"""Batch inference on your own machines: pour a folder in, get one file back."""
