"""Prometheus metrics: the series, which containers have them and until when, and the page that serves them."""
