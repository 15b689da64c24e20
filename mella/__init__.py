"""mella: dual-source image-text data for languages with little data."""

__version__ = "0.1.0"
