"""Discover pages: from the columnar index of Common Crawl to byte ranges, a forecast, records."""
