"""Seeing the methods: bounds as numbers and pictures, matched radii, and the atlas, a page of all of them."""
