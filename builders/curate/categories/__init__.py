"""Say what a sample shows, as two levels of a taxonomy of culture."""
