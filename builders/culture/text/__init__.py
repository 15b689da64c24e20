"""Texts: what makes a text fit to describe an image, in every script."""
