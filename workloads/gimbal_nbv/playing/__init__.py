"""One policy on one mesh: its views as pictures, the cloud as it grows, and the numbers."""
