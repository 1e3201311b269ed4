"""How long things take: runs, starts, lifters and 2D networks (``pose3d bench``)."""
