"""kubectl oomward: a cluster of simulated agents, and everything that can go wrong with them."""
