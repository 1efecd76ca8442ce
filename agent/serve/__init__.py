"""The agent's command socket: how a command beside the agent asks it. Importing this package costs nothing."""
