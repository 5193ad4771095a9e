"""What Django is told of the models; the schema of the queue has their tables."""
