"""The `gimbal` command. Every import of ray, torch and mlflow is inside the command that needs it."""
