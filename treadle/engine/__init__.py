"""Durable execution: journal, store, worker, dispatch. Drives the kernel; knows blocks only through a registry."""
