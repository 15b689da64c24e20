"""Images: from archives and hosts, checked and hashed."""
