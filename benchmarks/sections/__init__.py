"""Sections of the sampling benchmark: each module with ``rows(settings)`` is one."""
