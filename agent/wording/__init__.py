"""The report room: facts into sentences, metrics and the pages that serve them."""
