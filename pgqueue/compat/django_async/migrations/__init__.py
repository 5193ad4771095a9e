"""The models; the views under them are part of the queue's schema."""
