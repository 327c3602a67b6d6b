"""From a folder of photographs to a capture in the unit frame."""
