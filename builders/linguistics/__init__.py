"""Linguistics: images to thick captions in the target language."""
