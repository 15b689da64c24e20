"""Web archives: WARC and WACZ files as rows."""
