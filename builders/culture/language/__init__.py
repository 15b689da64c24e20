"""Language: in which language a page and a text are."""
