"""Fetching: polite to hosts, and safe against them."""
