"""Pages: what a page offers as the description of its images."""
