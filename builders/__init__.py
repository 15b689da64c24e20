"""How mella data is made: steps over Arrow tables, from web pages to shards."""

if __name__ != "mella.builders":
    raise ImportError(
        f"This package was imported as {__name__!r}; its name is 'mella.builders'. "
        "Import it as `from mella.builders import ...` (pip install 'mella[build]')."
    )
