"""The report page in a real browser: ``run`` checks it, ``pictures`` makes the pictures of the docs (both by ``python -m``)."""
