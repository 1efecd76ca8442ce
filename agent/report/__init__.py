"""One HTML page about OOM kills: from what the nodes answered (``read``) to a page that needs nothing else (``page``)."""
