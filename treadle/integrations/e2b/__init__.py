"""E2B: sandboxes in the cloud for running code."""
