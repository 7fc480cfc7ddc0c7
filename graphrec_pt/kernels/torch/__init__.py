"""Readable reference bodies in plain torch, for any device."""
