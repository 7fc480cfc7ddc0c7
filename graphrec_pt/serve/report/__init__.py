"""What a finished run found, as one page that a person reads."""
