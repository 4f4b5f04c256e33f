"""The ground floor: settings, database, clock, ids, logging, errors. Knows nothing of graphs or blocks."""
