"""The embedded sample: both sources in all eight languages, built from the mini-web."""
