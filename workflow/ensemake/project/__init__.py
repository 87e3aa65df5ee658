"""Where a user begins: a project of one's own, and the profiles that serve every project."""
