"""What happens before a kill, or in its place: containers that reach their memory limit."""
