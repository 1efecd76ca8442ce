"""The manifests as they are written: what is in them, why, and that they agree with the code."""
