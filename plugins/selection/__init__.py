"""Final selection: who decides what is handed in."""
