"""The report page: read from the nodes' answers, counted, and written as HTML."""
