"""The mini-web: a small WARC and a table of captions that the demo and the tests build from."""
