"""Google Maps: places."""
