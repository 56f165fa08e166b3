"""Parts for users of other frameworks. Each imports its framework; nothing else in Segue does."""
