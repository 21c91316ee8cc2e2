"""Adapters: one thin module per training engine, imported by name and only when used."""
