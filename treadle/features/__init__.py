"""What people do with the platform, one folder each: graphs, executions, library, ..."""
