"""Jina: search, reading of web pages, fact checks, embeddings and segmentation."""
