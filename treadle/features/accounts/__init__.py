"""People: who they are, their workspaces, and what they may do there."""
