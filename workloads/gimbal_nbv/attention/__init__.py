"""The attention policy: tokens of the views taken in, the next view out."""
