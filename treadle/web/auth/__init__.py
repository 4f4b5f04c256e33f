"""Signing in over HTTP, as the clients of Supabase Auth do it."""
