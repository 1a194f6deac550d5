"""The one-machine mode: server, scheduler and node as children of this process, for as long as one job takes."""
