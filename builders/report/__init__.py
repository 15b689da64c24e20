"""Tell what a build did: the whole story of a row, and a page about all of them."""
