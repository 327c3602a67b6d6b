"""What every page is made of: skeleton, palette and scripts."""
