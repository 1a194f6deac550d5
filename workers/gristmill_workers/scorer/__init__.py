"""The scorer: the child process that runs the user's code.

Runs in the deployment's own Python (3.8 and up), so it keeps to the standard library and to that syntax. It is
started by the path of `child.py`, never imported under this name there: the user's modules own the import path.
"""
