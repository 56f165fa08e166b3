"""Orders, which are paid for and shipped."""
