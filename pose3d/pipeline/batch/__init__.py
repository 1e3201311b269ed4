"""Many clips, one after the other or several at once: what ``pose3d run`` does."""
