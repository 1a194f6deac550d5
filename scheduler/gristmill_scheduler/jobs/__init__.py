"""Jobs as a service: asked for, noted in the workspace, led when their compute has room, shown, followed, ended."""
