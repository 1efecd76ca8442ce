"""What memory.oom.group of each container should be, and keeping it there."""
