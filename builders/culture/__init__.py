"""Culture: web pages to images with native descriptions."""
