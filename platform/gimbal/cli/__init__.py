"""The `gimbal` command; ray, torch and mlflow are imported by the commands that need them."""
