"""Two collections of bad things: tasks that hurt who runs them, data that hurts who reads it."""
