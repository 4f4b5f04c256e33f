"""People and their workspaces over HTTP."""
