"""The run folder: the timeline (append, verify, follow), the samples beside it, the wire to the pilot, and the exports."""
