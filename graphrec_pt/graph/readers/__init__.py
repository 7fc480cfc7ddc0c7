"""Readers of formats that columns cannot express; importing a module registers its reader."""
