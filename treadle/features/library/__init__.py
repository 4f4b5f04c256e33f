"""The library: agents as people find, file, set up and run them."""
