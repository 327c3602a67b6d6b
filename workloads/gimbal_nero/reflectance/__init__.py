"""How a surface reflects light: its reflectance, where light is asked for, and their sum."""
