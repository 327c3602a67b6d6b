"""What a surface is made of, learnt from what photographs show of it."""
