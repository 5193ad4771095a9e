"""What our templates call."""
