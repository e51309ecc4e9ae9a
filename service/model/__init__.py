"""The vocabulary: frozen values that every room speaks. Standard library only."""
