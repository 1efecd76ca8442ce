"""The API client, its credentials and back-off. Touches no state of the loop."""
