"""Workflows as data: frozen, checked, serialisable. No I/O and no clock."""
