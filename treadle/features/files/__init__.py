"""Files of people: uploaded, scanned, kept for a time, given out, used in runs."""
