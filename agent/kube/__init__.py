"""The Kubernetes room: the API client, the pod watch and the delivery of Events. It touches no state of the loop."""
