"""Requests that carry a key are done once, however often they are sent."""
