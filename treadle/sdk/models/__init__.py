"""One interface to all providers of language models: ``service.complete`` and the types in ``messages``.

Each protocol has an adapter over the provider's own client library, which is imported when first used.
"""
