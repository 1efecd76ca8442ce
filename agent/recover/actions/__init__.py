"""The actions, a file for each: whether it applies, and from an attempt and the objects of now to the next request or the result. Pure."""
