"""The API client, its credentials and back-off."""
