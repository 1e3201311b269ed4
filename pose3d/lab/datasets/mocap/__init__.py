"""Motion capture files of others: reading, naming, and turning into what training takes."""
