"""Consent: what sites and pages say of the use of their images."""
