"""Segue: the vocabulary, the picture, the bus and the shell that every service shares."""
