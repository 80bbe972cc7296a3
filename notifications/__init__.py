"""What users are told: every mail is owed in a row of its own, until it was sent."""
