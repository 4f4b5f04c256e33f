"""GitHub: issues, pull requests, reviews, files, branches and checks."""
