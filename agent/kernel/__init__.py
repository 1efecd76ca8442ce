"""The kernel room: records of /dev/kmsg, the OOM reports in them, and facts about processes."""
